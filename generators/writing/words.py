"""The words that made-up texts consist of, each owned by one split.

    WORDS["thing"]["train"]  ->  ("anvil", "apron", ...), and no word of WORDS["thing"]["eval"]

Nouns stand in the singular and verbs in the plain form; all of the verbs are regular and take an
object. `grammar` inflects them.
"""

from __future__ import annotations

from fmtharness.generators import pools
from fmtharness.generators.ownership import BySplit, divide

THING = divide("""
    almanac amplifier anvil apron armchair awning backpack badge balloon banjo barometer barrel
    basin basket bathrobe beaker bedspread bell belt binder birdbath birdhouse blanket blender
    blowtorch bobbin bolt bonnet bookmark bookshelf boot bottle bow bowl bracelet brick briefcase
    broom brush bucket buckle bulb bunk button cabinet cable cage calculator calendar camera
    candle canoe canvas carpet cart carton cassette catapult chain chalkboard charger chess-board
    chisel clamp clarinet clipboard clock coaster coat cog coin comb compass cork cot crane crate
    crayon cupboard curtain cushion cymbal dartboard desk dial doll doorbell doormat drawer
    dresser drill drum dustpan easel envelope eraser extinguisher fan faucet feather fiddle file
    flag flask flowerpot flute folder footstool fork fountain-pen frame funnel gadget gate gauge
    gearbox globe glove goblet gong grater grill guitar hairbrush hammer hammock handkerchief
    handle hanger harness harp hatch headlamp headphone heater helmet hinge hook horn hose
    hourglass inkwell ironing-board jacket jar jug kayak kettle key keyboard kite knapsack knob
    label ladder ladle lampshade lantern lasso latch lawnchair lens lever lid locker loom
    loudspeaker magnet magnifier mailbag mallet mandolin map marble mast mattress medal
    megaphone metronome microphone microscope mirror mitten mop motor mousetrap mug nail napkin
    necklace needle net notebook oar oven-glove paddle padlock paintbrush pan parasol parcel
    pedal peg pencil pendulum penknife periscope picture pillow pin pipe pitcher plank plate
    pliers-rack plough poster pot potholder propeller projector pulley pump puppet purse puzzle
    quilt racket radiator raft rake ratchet raincoat rattle razor recorder ribbon ring rocket rope
    rucksack rudder ruler saddle sail sandal satchel saw saxophone scale scarf screen screw scroll
    scythe seesaw shawl shelf shield shoehorn shovel shutter sieve signpost skateboard sledge
    sleeve slipper snorkel soap-dish socket spade spanner spatula sponge spool spoon spring
    stamp stapler steamer stencil stepladder stick stool stopwatch stove strainer strap stroller
    suitcase sundial surfboard swing switch table tambourine tape-measure tarpaulin teapot
    telegraph tent thermometer thermos thimble ticket tile timer toaster toolbox torch towel toy
    tractor tray treadmill tricycle tripod trolley trombone trophy trowel trumpet trunk tub
    turntable tweezer typewriter ukulele umbrella vacuum valve vase veil vest violin wagon
    walking-stick wallet wardrobe washbasin watch wheel wheelbarrow whisk whistle windmill window
    wok workbench
    wrench xylophone yoke zipper
""")
PLACE = divide("""
    airfield alley annex aquarium archive arena attic bakery balcony ballroom bandstand barn
    barracks basement beach belfry boathouse bookshop boulevard breakwater brewery bridge
    bungalow butcher's cabin café campsite canal canteen carousel castle cave cellar chapel
    cheesemonger's churchyard clearing clinic cloister clubhouse coast cottage courthouse
    courtyard crossroads dairy depot dockyard dormitory driveway dunes embassy factory farmhouse
    ferry field foothills ford forge fountain foundry gallery gallows-hill garage gatehouse
    glasshouse goods-yard grove guesthouse gymnasium hall hangar harbour hayloft headland
    hilltop homestead hospital hostel hotel inn island jetty kennel kiosk kitchen laboratory
    lagoon lakeside landing larder laundry lawn lido lift loft lookout manor market marsh meadow
    mill monastery museum nursery observatory office opera orchard outhouse oxbow pantry park
    parlour passage pasture pavilion pharmacy pier planetarium plateau playground plaza pond
    porch post-office prairie promenade quarry quayside railway ranch ravine reading-room
    refectory reservoir restaurant ridge riverbank rooftop saloon sawmill schoolyard shed
    shipyard shore skatepark smithy spa square stable stadium staircase stall station steeple
    storeroom street studio summit sunroom tavern temple terrace theatre tollbooth tower
    town-hall track tram-stop tunnel university valley velodrome verandah viaduct village
    vineyard waiting-room warehouse watermill waterworks wharf windbreak wood workshop yard
    zoological-garden
""")
ROLE = divide("""
    accountant acrobat actor agent alchemist ambassador apprentice archer architect artist
    astronomer athlete auctioneer author baker banker barber bargeman barista beekeeper
    bellringer biologist blacksmith boatbuilder bookbinder botanist bricklayer broadcaster
    builder butcher butler cabinetmaker captain caretaker carpenter cartographer cartoonist
    cashier caterer cellist champion chandler chauffeur chemist chimney-sweep choirmaster clerk
    climber clockmaker coach cobbler collector comedian composer conductor confectioner cook
    counsellor courier cowherd craftsman critic cyclist dancer decorator dentist designer
    detective diver doctor dramatist dressmaker driver drummer editor electrician engineer
    engraver explorer falconer farmer farrier ferryman fiddler firefighter fisherman fishmonger
    florist forester gardener geologist glassblower glazier goatherd goldsmith governess grocer
    groundskeeper guide hairdresser harpist hatter herbalist hermit historian hotelier hunter
    illustrator innkeeper inspector interpreter inventor jeweller joiner journalist judge juggler
    knitter landlady landscaper lawyer lecturer locksmith lumberjack machinist magician mechanic
    merchant messenger midwife miller miner minister model mountaineer musician navigator
    neighbour novelist nurse optician orderly organist painter pastry-cook pharmacist
    philosopher photographer physicist pianist pilot pirate plasterer plumber poet porter
    postman potter printer producer professor programmer puppeteer radiographer ranger
    receptionist referee reporter researcher roofer runner saddler sailor salesman scholar
    scout sculptor seamstress secretary shepherd shipwright shoemaker signwriter singer skater
    skipper soldier songwriter spinner statistician steward stonemason storyteller student
    surgeon surveyor swimmer tailor tanner taxidermist teacher technician tiler tinker trader
    trainer translator traveller treasurer trumpeter tutor typist umpire undertaker upholsterer
    usher vet violinist volunteer waiter warden watchmaker weaver welder wheelwright wizard
    woodcarver wrestler yodeller zookeeper
""")
ANIMAL = divide("""
    albatross alligator alpaca anteater antelope armadillo baboon badger bat bear beaver beetle
    bison blackbird boar buffalo bullfinch bumblebee buzzard camel canary caterpillar chameleon
    cheetah chimpanzee chinchilla cicada cobra cockatoo condor cormorant cow coyote crab crane
    cricket crocodile crow cuckoo deer dingo dolphin donkey dormouse dragonfly duck eagle eel
    elephant elk emu falcon ferret finch firefly flamingo fox frog gazelle gecko gibbon giraffe
    goat goose gorilla grasshopper grouse gull hamster hare hawk hedgehog heron hippopotamus
    hornet horse hummingbird hyena ibex iguana impala jackal jackdaw jaguar jay jellyfish
    kangaroo kestrel kingfisher kiwi koala ladybird lapwing lark lemming lemur leopard lion
    lizard llama lobster lynx macaw magpie mallard manatee marmot marten meerkat mole mongoose
    moose mule narwhal newt nightingale octopus opossum orangutan ostrich otter owl ox oyster
    panda panther parrot partridge peacock pelican pheasant pigeon pony porcupine puffin puma
    quail rabbit raccoon ram rat raven reindeer rhinoceros robin rook salamander salmon sandpiper
    scorpion seahorse seal shark sheepdog shrew skunk skylark sloth spider squid squirrel starling
    stork swallow swan swift tapir thrush tiger toad toucan trout turkey turtle viper vole vulture
    walrus warbler wasp weasel wolf wombat woodpecker wren yak zebra
""")
FOOD = divide("""
    almond anchovy apple apricot artichoke asparagus aubergine avocado bacon bagel barley basil
    bean beetroot biscuit blackberry blackcurrant bouillon broccoli brioche bun butter buttermilk
    cabbage caper caramel caraway cardamom carrot cashew cauliflower celery chard cheddar cherry
    chestnut chickpea chicory chive chocolate chutney cinnamon clementine clove cocoa coconut
    cod coriander corn courgette couscous crab-meat cranberry cream cress crouton crumpet
    cucumber cumin currant curry custard date dill dumpling fennel feta flour gherkin ginger
    gooseberry goulash granola grape grapefruit gravy guava haddock ham hazelnut herring honey
    horseradish jam kale ketchup kohlrabi lamb leek lemon lentil lettuce lime linseed liquorice
    macaroni mackerel mandarin mango maple-syrup marjoram marmalade marzipan mayonnaise melon
    milk millet mint molasses muesli mushroom mussel mustard nectarine noodle nougat nutmeg oat
    oatmeal olive omelette onion orange oregano pancake papaya paprika parsley parsnip
    passion-fruit pasta pastry peach peanut pear pea pecan pepper persimmon pesto pickle pie
    pineapple pistachio plum polenta pomegranate poppy-seed porridge potato pretzel prune pudding
    pumpkin quark quince radish raisin raspberry ravioli rhubarb rice risotto rocket-leaf rosemary
    rye saffron sage salami salmon-fillet salsa sardine sauerkraut sausage scone semolina
    sesame shallot sherbet shortbread sorbet soup sour-cream spinach sprout squash strawberry
    sugar sultana sunflower-seed sweetcorn tahini tamarind tangerine tarragon thyme toffee tofu
    tomato treacle truffle tuna turmeric turnip vanilla vinegar waffle walnut watercress
    watermelon wheat yam yeast yogurt
""")
ADJ = divide("""
    able absurd active adventurous affordable agile airy amber ample ancient antique austere
    balanced bare bashful battered beautiful bent bold bouncy brave breezy bright brisk brittle
    broad bulky bumpy busy calm careful carved cautious charming cheap cheerful chilly chipped
    chunky clean clear clever clumsy coarse colourful comfortable common compact cosy crisp
    crooked curious curved damp dapper daring dark decent deep delicate dented detachable dim
    discreet dreamy droll drowsy dry dull durable dusty eager early earnest edible elegant
    empty enormous even exact expensive extra faded fair faithful familiar famous fancy faulty
    fearless fine firm flat flexible flimsy floating folding foreign fragile fragrant frank
    fresh friendly frosty funny fuzzy generous gentle giant glossy golden graceful grand grateful
    greasy green grey grubby hairy handmade handy hard harmless hasty heavy hidden high hollow
    homely honest huge humble icy ideal idle immense inflatable ingenious inviting jagged jaunty
    jolly joyful keen knitted knotty lacquered large late lavish leafy lean leather light
    likeable little lively local lofty lonely long loose loud lovely loyal lucky lumpy magnetic
    marvellous massive matching mellow merry mild mighty modern modest moist mossy muddy musical
    mysterious narrow natural nautical neat nervous new nimble noble noisy nutty obedient odd
    old open orderly ordinary ornate padded painted pale patchy patient peaceful peculiar plain
    playful pleasant plump pocket-sized polished polite poor popular portable practical precious
    precise pretty prickly prompt proper proud punctual purple quaint quick quiet rapid rare
    ready reliable restless rich ripe robust rough round rugged rural rustic rusty safe salty
    sandy scarce scented second-hand secret sensible serene serious shabby shady sharp shiny
    short shy silent silky silly silver simple sincere sleek sleepy slender slim slippery slow
    small smart smooth snug sober soft solar solid spacious spare sparkling speckled spicy spiky
    splendid spotless spotted square squeaky stable starry steady steep stiff stout straight
    strange striped strong stubborn sturdy subtle sudden sunny superb sweet swift tall tame tangy
    tasty tattered tender thick thin thirsty thorough thoughtful thrifty tidy tight tiny tough
    tranquil transparent tricky trusty twisted unusual upright useful vague valuable vast
    velvety vibrant vintage vivid warm washable waterproof wavy weary weatherproof whimsical
    white wide wild willing windy wise witty wobbly wooden woolly worn yellow young zesty
""")
VERB = divide("""
    accept adjust admire adopt alter analyse answer arrange assemble attach avoid balance bake
    bless boil book borrow bottle bounce box brush butter calculate carry carve change check
    chop clean climb close coat collect colour comb compare connect consider consult cook copy
    count cover crack crush cure dampen decorate defend deliver demand describe design detach
    dismantle display divide double drain dry dust empty endure enjoy enlarge enter examine
    exchange explain explore fasten fetch file fill film filter finish fix flatten float fold
    follow frame freeze-dry fry gather glaze glue grate greet guard guess guide hammer handle
    haul heat help hire hoist honour imagine import improve inspect install invent invite iron
    join judge knead knock label lace launch lift load locate lock loosen lower mail manage
    mark mash match measure melt mend mention mix model move nail name notice oil open order
    organise oven-roast overhaul pack paint park paste patch peel perform photograph pickle
    place plan plant plaster pluck polish pour praise prepare present press prevent print
    protect prune pull pump purchase push question raise rake reach recommend record recycle
    reduce rehearse remember remove rent repair replace report rescue reserve restore return
    reward rinse roast roll rub sail salt sample save scan scrape scrub season select serve
    shake-dry share sharpen shorten sketch slice smell smooth soak solve sort spoil spray
    squeeze stack stain steam stir store straighten strengthen stretch study stuff suggest supply
    support surprise switch tackle taste test thank tie-up tighten toast touch trace trade train
    transport trim trust twist unload unlock unpack unroll unwrap varnish visit wait-for walk
    warm wash watch water wax weigh wipe wrap
""")
ACTIVITY = divide("""
    acrobatics archery astronomy backgammon badminton baking ballet basketry beachcombing
    beekeeping birdwatching boatbuilding bookbinding bouldering bowling boxing brewing bricklaying
    busking calligraphy camping candle-making canoeing carpentry caving ceramics cheesemaking
    chess choir-singing climbing clock-repair cobbling collage composting cooking crochet croquet
    cross-stitch curling cycling dancing darning darts debating decluttering diving dominoes
    drawing dressmaking embroidery enamelling engraving etching falconry fencing first-aid
    fishing flower-arranging foraging fossil-hunting gardening genealogy geocaching glassblowing
    gliding gokarting golf gymnastics harvesting hiking hockey horse-riding hot-air-ballooning
    hurdling ice-skating improvisation ironing joinery jogging journaling judo juggling kayaking
    kite-flying knitting knot-tying lace-making leatherwork letter-writing line-dancing
    lockpicking macramé magic map-reading marquetry meditation metalwork mosaic mountaineering
    mushroom-picking needlework netball night-photography orienteering origami paddling
    painting paper-folding parkour patchwork pétanque photography pickling pottery
    preserving puppetry quilting quoits rafting recycling relay-racing robotics rollerskating
    rowing rugby running sailing sculpture seed-saving sewing shadow-play shooting-hoops
    shorthand sign-language singing skiing skipping sledging snorkelling soap-making speed-reading
    spinning squash-playing stamp-collecting stargazing stencilling storytelling sugar-craft
    surfing swimming table-tennis tailoring tap-dancing tennis thatching tie-dyeing tobogganing
    topiary trampolining tumbling upcycling upholstery volleyball volunteering walking
    water-polo weaving weightlifting welding whittling windsurfing wood-carving wrestling
    yodelling yoga
""")
EVENT = divide("""
    anniversary assembly auction audition banquet barbecue bazaar birthday bonfire breakfast
    brunch campfire carnival ceremony championship christening clean-up competition concert
    conference contest course dance debate demonstration dinner drill election excursion
    exhibition expedition fair farewell feast festival fundraiser gala graduation-ball harvest
    hearing holiday housewarming inauguration inspection interview jamboree jubilee lecture
    lesson lottery luncheon marathon march masquerade match matinee meeting memorial opening
    outing pageant pantomime parade party performance picnic pilgrimage play-reading premiere
    procession quiz-night race raffle rally reading reception recital reenactment regatta
    rehearsal reunion retreat reveal revue roundtable sale seance screening seminar session show
    singalong sleepover solstice sports-day street-party supper swap symposium tasting
    tea-dance tour tournament treasure-trail trial trip vigil visit voyage wedding workout
""")
MATERIAL = divide("""
    aluminium amber bamboo bark beeswax brass bronze burlap canvas cardboard cashmere cedar
    cement chalk clay coal concrete copper coral corduroy cotton cowhide crystal denim ebony
    elm enamel felt fibreglass flannel flint fleece foam foil fur glass gold granite graphite
    gravel hemp horsehair iron ivory-nut jade jute lace lacquer latex lead leather limestone linen
    mahogany maple marble mesh mohair moss mud nickel nylon oak oilcloth onyx paper papyrus
    parchment pearl peat pewter pine plaster plastic plywood polyester porcelain pumice quartz
    raffia rattan reed resin rock rope-yarn rubber sand sandstone satin seagrass sheepskin silk
    silver slate spruce steel stone straw suede tarmac teak terracotta timber tin titanium tulle
    tweed twine velvet walnut wax wicker willow wire wool zinc
""")
WEATHER = divide("""
    blizzard breeze cloud cloudburst cold-snap dew downpour drizzle drought dusk flood fog frost
    gale gust hail haze heatwave hurricane ice lightning mist monsoon moonlight north-wind
    overcast rain rainbow sandstorm shower sleet slush snow snowdrift squall storm sunrise sunset
    sunshine thaw thunder thunderstorm tide tornado twilight typhoon undertow whirlwind wind
""")
MOOD = divide("""
    affectionate alarmed amazed amused annoyed anxious apologetic ashamed astonished attentive
    bewildered bitter blissful bored brooding carefree cheery complacent confident confused
    contented courageous cranky daunted defiant delighted determined disappointed doubtful eager
    ecstatic embarrassed enthusiastic envious excited exhausted fascinated fidgety forgiving
    frightened frustrated fussy giddy gleeful gloomy grateful grumpy guilty hesitant homesick
    hopeful humbled hungry impatient impressed indifferent indignant inspired jealous jittery
    lazy lonesome melancholic mischievous moody mournful moved nostalgic optimistic overjoyed
    peckish pensive perplexed pessimistic pleased proud puzzled relaxed relieved reluctant
    resentful resolute sceptical sentimental shocked smug solemn sorry spellbound startled
    stressed stunned surprised suspicious sympathetic tearful tense thankful thrilled timid
    touched troubled uneasy unhurried upset wistful worried yearning
""")
ADVERB = divide("""
    abruptly accurately anxiously awkwardly blindly boldly bravely briefly brightly briskly
    calmly carefully carelessly casually cautiously cheerfully cleverly clumsily coldly
    constantly correctly crossly curiously daily daintily deliberately diligently discreetly
    doubtfully eagerly earnestly easily elegantly evenly exactly faithfully fiercely firmly
    fondly frankly freely frequently generously gently gladly gracefully gradually gratefully
    greedily happily hastily heartily honestly hopefully hurriedly innocently instantly jointly
    joyfully justly keenly kindly lazily lightly loudly loyally madly merrily modestly neatly
    nervously nightly noisily obediently openly painfully patiently peacefully perfectly playfully
    politely promptly properly proudly punctually quickly quietly rapidly rarely readily
    reluctantly repeatedly roughly rudely sadly safely secretly seriously sharply shyly silently
    skilfully sleepily slowly smoothly softly solemnly steadily sternly stubbornly suddenly
    swiftly tenderly thoroughly thoughtfully tidily tightly truthfully unexpectedly urgently
    vaguely vainly warily warmly weekly wildly willingly wisely yearly zealously
""")
WORDS: dict[str, BySplit] = {
    "thing": THING,
    "place": PLACE,
    "role": ROLE,
    "animal": ANIMAL,
    "food": FOOD,
    "adj": ADJ,
    "verb": VERB,
    "activity": ACTIVITY,
    "event": EVENT,
    "material": MATERIAL,
    "weather": WEATHER,
    "mood": MOOD,
    "adverb": ADVERB,
    "first": pools.FIRST,
    "last": pools.LAST,
    "city": pools.CITY,
    "country": pools.COUNTRY,
    "brand": pools.BRAND,
}
