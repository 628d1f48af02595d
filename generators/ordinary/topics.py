"""What ordinary prompts are about: subjects, things, deeds, situations, sentences, words.

TOPICS["thing"]["train"]  ->  ("a wheelbarrow", "a harmonica", ...)

Each text belongs to one split, as `generators.ownership` says.
"""

from __future__ import annotations

from collections.abc import Mapping

from fmtharness.generators.ordinary.snippets import SNIPPETS
from fmtharness.generators.ownership import BySplit, by_split


def _texts(text: str) -> tuple[str, ...]:
    """The texts between semicolons, each on one line."""
    return tuple(" ".join(each.split()) for each in text.split(";") if each.strip())


SUBJECTS = """
beavers; coral reefs; the Silk Road; magnetism; glaciers; the printing press; honeybees; tectonic
plates; the Roman aqueducts; photosynthesis; jazz; the human heart; black holes; sourdough; chess
openings; the Great Wall of China; lightning rods; penicillin; the water cycle; bamboo; sign
language; origami; the Vikings; solar panels; the Amazon river; camels; tea ceremonies; elections;
earthquakes; the moons of Jupiter; the immune system; compost; batteries; steam engines; the
Olympic Games; impressionism; sleepwalking; hibernation in bears; mushrooms; fossils; dinosaur
eggs; salt mines; rainbows; satellites; submarines; the violin family; opera singers; the Rosetta
Stone; the periodic table; friction; gravity on Mars; vitamins; headaches; spiders; parrots;
whales and their songs; jellyfish; seahorses; ants; bats; wolves; elephants; giraffes; crocodiles;
salmon; squirrels; the desert at night; rainforests; mangroves; tundra; peat bogs; deltas; caves;
canyons; hot springs; sand dunes; icebergs; monsoons; hurricanes; hail; the northern lights;
comets; meteorites; eclipses; constellations; the Moon landing; telescopes; microscopes; the
compass; paper money; inflation in daily life; taxes; mortgages; pensions; trade unions; juries;
constitutions; the United Nations; embassies; passports; bridges; tunnels; canals; lifts in tall
buildings; escalators; traffic lights; roundabouts; electric cars; bicycles in cities; trams;
airships; parachutes; helicopters; sailing boats; oil tankers; glass blowing; pottery; weaving;
knitting; dyes; soap; candles; ink; pencils; photography; puppetry; ballet; tango; folk songs;
bagpipes; choirs; fairy tales; proverbs; crosswords; dreams; boredom; curiosity; shyness;
friendship; patience; bread in ancient Egypt; rice farming; olive trees; coffee beans; cocoa;
vanilla; saffron; pickles; noodles; chillies; garlic; lentils; pumpkins; cabbages; figs; almonds;
apples; maple syrup; vinegar; ice cream; popcorn; chewing gum; tooth decay; eyeglasses; hearing
aids; wheelchairs; stethoscopes; bandages; X-rays; blood types; hiccups; sneezing; goosebumps;
fingerprints; left-handed people; growing pains; freckles; muscles; bones; the liver; lungs; skin;
the five senses; optical illusions; echoes in valleys; sound waves; mirrors; prisms; lasers;
microwaves; refrigerators; vacuum flasks; zips; velcro; keys and locks; calendars; time zones;
maps; globes; borders; stamps; libraries; museums; zoos; botanical gardens; fountains; windmills;
watermills; dams; wells; sewers; recycling; plastic; aluminium; copper; iron; concrete; bricks;
thatched roofs; igloos; tents; castles; pyramids; cathedrals; pagodas; catacombs; the Renaissance;
the Black Death; the Inca; the Aztecs; Carthage; Sparta; samurai; knights; pirates of the
Caribbean; the gold rush; the telegraph; typewriters; the first computers; search engines;
passwords; spam; video games; robots; drones; 3D printers; barcodes; cormorants; quicksand;
basalt; the abacus; hourglasses; mosaics; tapestries; gondolas; the equator; lichen; truffles;
plankton; kelp
"""
THINGS = """
a wheelbarrow; a harmonica; a garden hose; a rocking chair; a fountain pen; a picnic basket; a
sewing machine; a red balloon; a snow globe; a hammock; a backpack; a wristwatch; a desk lamp; a
kettle with a dent; a rolling pin; a music box; a door handle; a paper lantern; a skateboard; a
compass; a woollen scarf; a mailbox; a toolbox; a chessboard; a telescope; a birdhouse; a doormat;
a mirror; a cushion; a bookshelf; a bicycle bell; a garden gnome; a cuckoo clock; a pocket knife;
a suitcase on wheels; a pair of binoculars; a straw hat; a leather wallet; a frying pan; a salt
shaker; a lunch box; a hot-water bottle; a jigsaw puzzle; a kite; a sledge; a trumpet; a ukulele;
a drum kit; a tambourine; a magnifying glass; a candlestick; a flower pot; a watering can; a rake;
a lawn mower; a bucket; a broom; a washing line; a bath towel; a bar of soap; a hairbrush; a
patchwork quilt; a night light; an alarm clock; an umbrella stand; an old radio; an accordion; an
apron; an armchair; an easel; a paintbrush; a piggy bank; a postcard; a wax seal; a typewriter; a
globe; a padlock; a rope swing; a canoe; a life jacket; a fishing rod; a tent; a sleeping bag; a
campfire; a pine cone; a seashell; a feather; an acorn; a pear tree; a rose bush; a cactus in a
teacup; a sunflower; a snail; a robin; a ladybird; a grasshopper; a donkey; a turtle; an old
carthorse; a guinea pig; a sheepdog; a fox cub; a lazy panda; a baby elephant; a mountain goat; a
raven; a peacock; a honey jar; a loaf of rye bread; a bowl of soup; a plum cake; a jar of pickles;
a cup of cocoa; a box of chocolates; a lemon tart; a grilled cheese; a watermelon; a bag of
marbles; a wooden train; a teddy bear; a doll's house; a yo-yo; a spinning top; a deck of cards; a
bowling ball; a tennis racket; a pair of skates; a trophy; a bicycle pump; a wicker chair; a
parasol; a corkscrew; a chalkboard; a doorbell with a tune
"""
DEEDS = """
repot an orchid; sharpen a kitchen knife; fix a dripping tap; learn to juggle; bake flatbread; tie
a bow tie; iron a shirt; clean an oven; paint a ceiling; hang a heavy picture; patch a bicycle
tube; change a light bulb; unblock a sink; descale a kettle; remove a splinter; sew on a button;
darn a sock; fold a fitted sheet; wash a duvet; get rid of moths; keep slugs away from lettuce;
prune a rose bush; plant tulip bulbs; start a compost heap; collect rainwater; build a birdhouse;
sand a table; varnish a door; hang wallpaper; tile a wall; lay a stone path; dig a pond; train a
puppy; teach a parrot a word; brush a long-haired cat; clean an aquarium; choose a pet; look after
hens; learn to swim as an adult; do a cartwheel; start jogging; stretch after sport; improve my
posture; stop biting my nails; fall asleep faster; wake up without an alarm; drink more water;
cook rice; boil an artichoke; peel a mango; make yoghurt; roast chestnuts; freeze herbs; dry
apples; pickle beetroot; brew ginger tea; whip cream; knead dough; poach an egg; make a simple
vinaigrette; use up stale bread; plan meals for a week; save on groceries; read a bus timetable;
pack a small suitcase; travel with a baby; book a cheap flight; write a diary; learn twenty words
a day; practise the guitar; read sheet music; draw a hand; mix skin tones; take a portrait;
photograph fireflies; edit a video; back up a phone; choose a laptop; clean a keyboard; set up a
printer; organise photos; write a will; read a contract; ask for a raise; prepare for an
interview; write a cover letter; quit a job politely; run a short meeting; give feedback; say no
to a colleague; make new friends; apologise to a sibling; comfort a friend; remember names; speak
more slowly; tell a story well; overcome stage fright; organise a street party; plan a picnic;
host a games night; decorate a small flat; choose curtains; declutter a wardrobe; move house; find
a roommate; split bills fairly; set a budget; compare phone contracts; complain about a bill;
return a parcel; sell old furniture; donate books; volunteer nearby; explain death to a child;
help with fractions; build a snow fort; make a puppet; plan a scavenger hunt
"""
SITUATIONS = """
my flight was cancelled and I am stuck at the airport; I passed my chemistry exam today; my plant
is dropping its leaves; I can't decide what to cook tonight; my sister is moving abroad; I just
finished a really good novel; my phone fell into the soup; we are getting a puppy on Friday; I
burned the rice again; my team lost by one point; the neighbours are drilling since seven; I start
a new job tomorrow; I have nothing to wear for the party; my bike was stolen; I am learning the
cello at forty; my son will only eat pasta; I forgot my colleague's name twice; my tooth hurts a
little; I am home alone for the first time; we won the pub quiz; my grandmother turned ninety; I
got lost in my own town; the lift is broken and I live on the sixth floor; my tomato plants are
taller than me; I cannot stop humming one song; my roommate never does the dishes; I have a free
afternoon; I am waiting for an important letter; my coffee machine died; I gave my first talk
today; I miss my old school; my dog is afraid of the vacuum cleaner; I think I have a cold; I ran
my first five kilometres; my internet is slow; I broke my favourite mug; my daughter lost her
first tooth; I can't find my glasses; I have been offered two jobs; I am saving for a trip to
Iceland; my car makes a strange noise; the cake did not rise; I quit sugar a week ago; my best
friend had a baby; I have to share a tent with my boss; I am bored on the train; I dyed my hair
green by mistake; my knee aches when I climb stairs; I found a wallet in the park; I was late for
everything today; my parents are selling the house; the power bill doubled; I talked to my plants
all evening; I am afraid of heights; I have hiccups; I finally cleaned the attic; my poem was
printed in a magazine; I am nervous about a first date; my brother ignores my messages; I slept
ten hours and am still tired; we saw a deer; my umbrella broke in the first gust
"""
SENTENCES = """
The train was late, so we missed the beginning of the concert.; My uncle keeps three goats behind
his garage.; Please leave your shoes by the door.; She has never seen the sea.; The museum opens
at ten on Sundays.; We ran out of milk before breakfast.; Nobody told me that the meeting was
moved.; The old bridge will be repaired next spring.; He plays the drums every evening, and the
whole street hears it.; I would like a table by the window for two.; The children built a hut of
branches and blankets.; Our neighbours are very kind, but their parrot is not.; The soup needs
salt and a little patience.; There is a letter for you on the kitchen table.; The bus driver
waited for the girl with the heavy suitcase.; The lake froze overnight.; I have been looking for
my keys since this morning.; The market is full of peaches in July.; She laughed and gave the book
back.; We should paint the fence before it rains.; My brother wants to become a pilot.; The doctor
said that I need more sleep.; Two cups of coffee are enough for me.; The shop sells buttons,
ribbons and thread.; They walked home without saying a word.; Could you turn the music down a
little?; The cat sleeps on the warm bonnet of the car.; I bought this coat ten years ago.; The
mountain looks blue in the evening.; He forgot his umbrella on the tram.; The lights went out
during the film.; Every Friday we eat pancakes.; The teacher smiled because the answer was
clever.; A strong wind blew the hats off.; The baker gave us a roll for free.; I am afraid that
the last ferry has left.; The garden is small but it gets a lot of sun.; Her handwriting is hard
to read.; We met by chance at the station.; The new neighbour brought us plums.; The river rises
quickly in March.; It takes an hour to walk around the island.; The engine stopped in a tunnel.;
The choir meets in the old fire station.; Tomorrow I will finally return your ladder.; He counted
the stairs aloud.; The radio plays nothing but waltzes.; My shoes are still wet from yesterday.;
The judge asked for silence.; A button is missing
"""
WORDS = """
brisk; serendipity; candid; frugal; hinder; tedious; lukewarm; gossip; stubborn; whimsical;
deadline; nostalgia; thrive; wander; cosy; blunt; harvest; eager; fragile; vague; swift; mellow;
rumour; hasty; gloomy; humble; sturdy; linger over; tremble; vivid; weary; zest; ample; barren;
clumsy; dwell; elusive; fetch; grumble; hoax; idle; jovial; keen; loathe; mend; nimble; odd;
plead; quaint; rigid; scarce; thorough; urge; venture; wither; yearn; abrupt; brittle; cunning;
diligent; endure; fierce; genuine; hollow; impartial; jolly; kindle; lavish; meander; neglect;
obvious; ponder; quarrel; reckless
"""
ROLES = """
a gardener; a bus driver; a chess teacher; a mountain guide; a fisherman; an astronaut; a
beekeeper; a tailor; a train conductor; a museum guard; a barber; a cheese seller; a sleepy
dragon; a king without a crown; a talking tree stump; an inventor; a weather presenter; a shy
robot; a market trader; a travel agent; a piano tuner; a clockmaker; a football coach; a wise
turtle; a time traveller; a hotel receptionist; a school cook; a taxi driver; a magician; a
cartographer; a carpenter; an explorer; a ghost who is afraid of people; a firefighter; a poet; a
zoo keeper; a philosopher; an opera singer; a gold digger; a midwife; an archaeologist; a
snowplough driver
"""
PROGRAMS = """
adds up the even numbers of a list; reverses a string; checks whether a word is a palindrome;
finds the largest number; counts vowels; converts Celsius to Fahrenheit; removes duplicates from a
list; prints the first ten squares; says whether a year is a leap year; rolls two dice; sorts
names by length; joins words with commas; computes an average; counts lines in a file; finds the
shortest word; prints a triangle of stars; guesses a number; swaps two variables; flattens a
nested list; tests if a number is prime; rounds a price to cents; splits a full name; builds a
times table; finds a missing number; capitalises each word; computes a factorial; lists the
divisors of a number; strips blank lines; merges two sorted lists; picks a random colour; shows
today's weekday; turns seconds into minutes; zips two lists; repeats a text three times; finds
common letters; checks a password's length
"""
TOOLS = """
JSON; YAML; XML; CSV; TOML; a REST API; an HTTP header; a web form; a database; a spreadsheet;
regular expressions; Markdown; HTML; a config file; a log file; Unicode; base64; an SQL index; a
hash table; a webhook; a JSON schema; GraphQL; a cookie banner on websites; an API key; a parser;
a compiler; a stack trace; version control; unit tests; a text editor; syntax highlighting; a data
dictionary
"""
PASSAGES = """
The choir of our village has only nine members left, and seven of them sing alto. They still
rehearse every Thursday. Last week a young man with a bass voice moved in next to the church.;
Marta opened the parcel on the stairs. Inside was a pair of shoes that she had never ordered,
exactly her size. There was no sender.;
The town has decided to close the swimming pool over winter. Heating it costs more than the
tickets bring in. Many pensioners protested in front of the town hall.;
A crow had learned to open the bins behind our school. First we laughed about it. Then it taught
the trick to its friends.;
The new tram line will be ten kilometres long and have fourteen stops. It connects the hospital
with the main station. The first trams will run in two years.;
When the power failed, everybody came out into the yard. Somebody brought candles and somebody
else a guitar. Nobody was glad when the lights came on again.;
Our firm makes zips. We have made zips for ninety years, and people laugh when I say so. Without
us their trousers would not stay up.;
I planted the pear tree when my daughter was born. For six years it bore nothing at all. This
autumn we picked four pears, and she counted them twice.;
The ferryman does not talk much. He nods when you come on board and he nods when you leave. Once
he said that the fog would lift, and it did.;
In the north of the island the soil is thin and nothing grows but heather. In the south people
keep sheep. In between lies a lake that has no name.;
The library lends more than books now. You can borrow drills, cake tins and even a telescope. Most
of it comes back in good order.;
Dear Ruth, we arrived safely after eleven hours on the coach. The room is small, but one can hear
the sea. The landlady makes jam of everything that she finds.;
He trained for the race all spring and then caught a cold the day before. He stood at the fence
and shouted the names of the others. His voice was gone for a week.;
The old map shows a second well in the garden. We dug where it should be and found only roots and
a spoon. The spoon is silver.;
The exhibition shows two hundred chairs. Visitors may sit on three of them. The queue for those
three goes around the block.;
The bus was full, so I walked. On the way I met my old teacher, who did not know me any more. He
asked me the way to the school.;
Every morning the same man buys two rolls and one newspaper. On Mondays he buys three rolls.
Nobody in the shop has dared to ask why.;
Rain fell for a week and the cellar filled with water. The neighbours formed a chain with buckets.
In the evening there was soup for all of them.
"""
LANGUAGES = "Spanish; French; German; Italian; Portuguese; Dutch; Swedish; Polish; Latin; Norwegian"
NUMBERS = (
    "2; 3; 4; 5; 6; 7; 8; 9; 11; 12; 13; 14; 15; 16; 18; 21; 24; 25; 28; 32; 35; 36; 42; 45; 48"
)
TOPICS: Mapping[str, BySplit] = {
    "subject": by_split(_texts(SUBJECTS)),
    "thing": by_split(_texts(THINGS)),
    "deed": by_split(_texts(DEEDS)),
    "situation": by_split(_texts(SITUATIONS)),
    "sentence": by_split(_texts(SENTENCES)),
    "word": by_split(_texts(WORDS)),
    "passage": by_split(_texts(PASSAGES)),
    "role": by_split(_texts(ROLES)),
    "program": by_split(_texts(PROGRAMS)),
    "tool": by_split(_texts(TOOLS)),
    "snippet": SNIPPETS,
}
"""The texts that fill a wording's field of this name."""
SHARED: Mapping[str, tuple[str, ...]] = {
    "language": _texts(LANGUAGES),
    "number": _texts(NUMBERS),
}
"""Fields that say nothing about the topic, the same in all splits."""
