"""The words that values are made of, each owned by one split.

    FIRST["train"]  ->  ("...", ...), and no word of FIRST["eval"]

A word that stands in two pools has the same owner in both, so a name made of train words is never a
name that eval can make.
"""

from __future__ import annotations

from fmtharness.generators.ownership import divide

FIRST = divide("""
    Ada Adrián Agnes Aiko Aisha Alba Alexei Amara Amir Anders Andrea Anika Anton Arjun Astrid
    Axel Beatriz Bence Benedikt Bianca Björn Boris Bruno Camila Carlos Carmen Cecilia Cem Chiara
    Chloé Clara Conor Dalia Damian Daniela Dario Deniz Diego Dimitri Edith Eduardo Efua Elena
    Eleni Elif Emeka Emil Enzo Erik Esme Esther Eva Fatima Felix Fiona Franz Freya Gabriel
    Giulia Greta Gustav Hana Hanna Hassan Hector Heidi Helga Henrik Hugo Ibrahim Ilse Imani Ines
    Ingrid Irina Isaac Ivana Jakub Jamal Jana Jasper Javier Joanna Jonas José Juan Julia Jürgen
    Kaito Karin Karim Katya Keiko Kenji Kofi Lars Laura Leandro Leila Lena Leo Liam Lina Linnea
    Lucía Lukas Magnus Maja Malik Marek Margot Marta Mateo Mei Mila Minh Mina Mohan Nadia Naomi
    Nikos Nils Noor Nuria Olga Oluwaseun Omar Oscar Otto Paula Pavel Petra Philippa Pilar Priya
    Quentin Rafael Raj Renata Ricardo Rohan Rosa Ruth Samira Sanjay Sara Selma Sergio Signe
    Simone Sofia Sören Stefan Sunita Tadeo Tamar Tariq Teresa Theo Thora Tomás Ulrike Uma
    Valentina Vera Viktor Wanda Wei Wilma Xavier Yara Yasmin Yusuf Zainab Zoë Zoltan
""")
LAST = divide("""
    Abebe Adeyemi Almeida Amsel Andersen Aoki Arslan Baker Baptiste Barros Bauer Becker Bello
    Berg Bianchi Blake Bosch Brandt Brennan Calloway Campos Cardoso Castillo Cerny Chaudhry Chen
    Costa Crawford Dahl Delgado Demir Dubois Dvořák Eklund Ellis Endo Esposito Farouk Fischer
    Fonseca Fraser Fujita Gallo Garza Ghosh Gómez Graf Greene Gruber Haas Hakimi Halvorsen
    Hansen Hartley Hoffmann Holm Horvath Huang Ibarra Ikeda Ilić Ito Ivanov Jansen Jensen
    Johansson Kaplan Kapoor Keller Kim Kimura Koch Kowalski Kruger Kumar Lam Larsen Laurent
    Lehmann Leone Lindqvist Lopez Lund Madsen Maier Maldonado Marín Martel Mehta Mendes Mensah
    Meyer Moreau Mori Moser Müller Nagy Nakamura Navarro Ndiaye Neumann Nguyen Nielsen Novak
    Nwosu Obi Okafor O'Brien O'Neill Olsen Ortega Osei Östberg Pacheco Park Patel Pereira Petrov
    Pham Pinto Popescu Quiroga Rahman Ramos Rasmussen Reyes Richter Rinaldi Rossi Roux Sandoval
    Santos Sato Sauer Schmidt Serrano Shah Silva Singh Sokolov Sørensen Stein Strand Suzuki
    Svensson Takeda Tanaka Torres Tran Ueda Urban Vargas Vasquez Vidal Vogel Wagner Walsh Weber
    Winter Wójcik Yamada Yilmaz Young Zapata Zhang Zimmer
""")
CITY = divide("""
    Aarhus Accra Adelaide Amman Ankara Antwerp Asunción Athens Auckland Austin Baku Bangkok
    Basel Beirut Belfast Bergen Berlin Bilbao Bogotá Boston Bratislava Bremen Brno Brussels
    Bucharest Budapest Cairo Calgary Cardiff Casablanca Chicago Cologne Copenhagen Córdoba Cork
    Cracow Dakar Dallas Delhi Denver Dresden Dublin Durban Edinburgh Florence Geneva Genoa Ghent
    Glasgow Gothenburg Granada Graz Hamburg Hanoi Harare Havana Helsinki Hobart Houston Istanbul
    Jakarta Jena Kampala Karachi Kigali Kobe Kraków Kyoto Lagos Lahore Lausanne Leeds Leipzig
    Lima Linz Lisbon Liverpool Ljubljana Luanda Lusaka Lyon Madrid Malmö Manila Maputo Marseille
    Medellín Melbourne Memphis Milan Montreal Munich Mumbai Nairobi Nantes Naples Nicosia Odense
    Oslo Ottawa Oulu Palermo Perth Phoenix Porto Portland Prague Quito Rabat Reykjavik Riga
    Rotterdam Salzburg Santiago Sapporo Seattle Seoul Seville Skopje Sofia Split Stavanger
    Stockholm Stuttgart Sydney Tallinn Tampere Tirana Tokyo Toledo Toronto Trieste Tromsø Tunis
    Turin Turku Uppsala Utrecht Valencia Verona Vienna Vilnius Warsaw Wellington Yerevan York
    Zagreb Zurich 東京 大阪 京都 北京 上海 서울
""")
BRAND = divide("""
    Acorn Aldera Alpine Amberly Anchor Apex Aurora Balsam Beacon Birchwood Bluefin Borealis
    Bramble Brightway Calder Canopy Cascade Cedar Cinder Clearwater Cobalt Compass Copperleaf
    Coral Crescent Delphi Driftwood Dunmore Eastgate Ember Evergreen Falcon Fernhill Firebrick
    Foxglove Frostline Gable Garnet Glacier Goldcrest Granite Greenfield Halcyon Harbor Hawthorn
    Hazel Heron Highland Horizon Indigo Ironbridge Ivory Jasmine Juniper Keystone Kingfisher
    Lantern Larkspur Lighthouse Linden Lumen Magnolia Maple Marigold Meadow Meridian Midland
    Mistral Monarch Moonstone Nimbus Nordlys Northwind Oakridge Obsidian Opal Orchard Orion
    Osprey Palisade Pebble Pinnacle Pioneer Polaris Prairie Quartz Ravenna Redwood Ridgeway
    Riverton Saffron Sandstone Sequoia Silverline Skylark Solstice Sparrow Starling Stonegate
    Summit Sycamore Tamarack Thistle Tidewater Timberline Topaz Tundra Umber Vantage Vega
    Verdant Vista Wayfarer Westport Willow Windmill Yarrow Zenith
""")
TRADE = divide("""
    Analytics Apparel Bakery Bikes Books Brewing Builders Catering Ceramics Clinic Coffee
    Consulting Cosmetics Couriers Dairy Design Digital Dental Electric Electronics Energy Farms
    Films Finance Fisheries Fitness Flowers Foods Freight Furniture Games Gardens Glass Hardware
    Health Hotels Imports Insurance Interiors Kitchens Labs Leather Legal Lighting Logistics
    Media Metals Motors Museum Music Optics Outdoors Paints Paper Pharmacy Plastics Press
    Printing Robotics Roofing Sails Security Shipping Software Solar Sports Steel Studios
    Systems Tea Textiles Timber Tools Toys Travel Ventures Vineyards Watches Wines Wireless
    Woodworks Yachts
""")
ITEM = divide("""
    backpack basket battery bench blanket blender bookcase boots bottle bowl bracket broom brush
    bucket cabinet cable camera candle canvas carpet chair charger clamp clock coat cooler cup
    curtain cushion desk drill drum easel fan faucet filter flask folder fork frame freezer
    funnel gasket glove goggles grill guitar hammer hammock headset heater helmet hinge hose
    jacket jar kayak kettle keyboard knife ladder lamp laptop latch lens lock mat mattress
    microphone mirror mixer monitor motor mug napkin needle notebook nozzle oven paddle pan
    pedal pen piano pillow pipe plate pliers plug pot printer projector pump racket radio razor
    router rug ruler saddle saw scale scanner scarf scissors screen shelf shovel skillet sled
    sofa spatula speaker sponge spoon stapler stool stove suitcase switch table tablet tarp
    teapot telescope tent thermos toaster torch towel tray tripod trolley umbrella vacuum valve
    vase violin wagon wallet whisk wrench zipper
""")
QUALITY = divide("""
    ample antique bamboo beige black blue brass braided bright bronze brown ceramic chrome
    classic compact copper cordless cotton crimson curved deluxe dense double electric enamel
    fleece flexible folding frosted glossy golden gray green hand-made heavy hollow insulated
    iron ivory jade large leather light linen long lined marble maroon matte mesh metal mini
    modern modular narrow navy nylon oak olive orange oval padded patterned pearl pine plain
    plastic pocket polished portable purple quilted rattan recycled red rigid round rubber
    rustic sage satin scarlet short silent silk silver sleek slim small smooth soft solar solid
    spare square stackable steel striped sturdy suede tall teal thick thin tinted travel
    turquoise twin vintage violet walnut waterproof white wicker wide wireless wooden woolen
    yellow
""")
STATE = divide("""
    accepted active approved archived assigned backordered blocked booked cancelled checked
    claimed cleared closed collected confirmed deferred delayed delivered denied disputed draft
    escalated expired failed filed finished flagged fulfilled held inactive invoiced issued late
    listed locked lost mailed merged missing moved muted open overdue packed paid parked paused
    pending planned posted printed processed published queued ready received refunded rejected
    released removed renewed reopened repaired replaced reported reserved resolved returned
    reviewed revoked running scanned scheduled sealed sent settled shipped signed skipped sold
    sorted stalled stopped stored submitted suspended tested tracked unpaid updated upgraded
    verified voided waiting waived withdrawn
""")
TOPIC = divide("""
    access accounting acoustics advertising agriculture algebra archery architecture astronomy
    ballet banking beekeeping biology botany boxing branding camping carpentry chemistry chess
    choir climbing coaching compliance composting cooking cricket cycling dancing debate
    dentistry diving drawing ecology economics editing embroidery engraving ethics fencing
    fishing forestry gardening genetics geology geometry grammar gymnastics harvest heating
    hiking history hiring hockey housing hygiene improvisation irrigation journalism judo karate
    knitting landscaping leasing lighting linguistics literacy logistics marketing masonry
    mechanics mediation meteorology mining nursing nutrition onboarding opera optics origami
    packaging painting parking payroll pharmacy philosophy photography physics plumbing poetry
    pottery printing procurement quilting recruiting recycling robotics rowing sailing sculpture
    sewing skiing statistics storage surfing surveying swimming tailoring taxation tennis
    theatre tourism training translation typing ventilation weaving welding woodwork writing
    yoga zoology
""")
PLACE = divide("""
    aisle alley atrium attic balcony barn basement bridge cafeteria canteen cellar chapel clinic
    corner corridor counter courtyard deck depot dock driveway elevator entrance fence foyer
    gallery garage garden gate hallway hangar kiosk kitchen landing lawn ledge library lobby
    locker loft lounge mailroom office orchard patio pavilion pier porch quay ramp reception
    roof shed stables stairwell storeroom studio terrace tower vault veranda warehouse
    windowsill workshop yard
""")
COUNTRY = divide("""
    Albania Algeria Argentina Armenia Australia Austria Bangladesh Belgium Bolivia Botswana
    Brazil Bulgaria Cambodia Cameroon Canada Chile China Colombia Croatia Cuba Cyprus Denmark
    Ecuador Egypt Estonia Ethiopia Finland France Georgia Germany Ghana Greece Guatemala Hungary
    Iceland India Indonesia Ireland Israel Italy Jamaica Japan Jordan Kenya Kuwait Latvia
    Lebanon Lithuania Luxembourg Malaysia Malta Mexico Moldova Mongolia Morocco Namibia Nepal
    Netherlands Nigeria Norway Oman Pakistan Panama Paraguay Peru Philippines Poland Portugal
    Qatar Romania Rwanda Senegal Serbia Singapore Slovakia Slovenia Spain Sweden Switzerland
    Taiwan Tanzania Thailand Tunisia Turkey Uganda Ukraine Uruguay Vietnam Zambia Zimbabwe
""")
