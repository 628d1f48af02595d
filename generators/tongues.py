"""Common words and short phrases in thirteen languages, each owned by one split.

    WORDS["bread"]["de"]              ->  "Brot"
    PHRASES["My name is {name}."]["fr"].format(name="Ada")  ->  "Je m'appelle Ada."
    SPLIT_WORDS["train"]              ->  ("bread", ...), and none of SPLIT_WORDS["eval"]

A word that two concepts share in some language (Polish `zamek`: castle, lock) is left out.
"""

from __future__ import annotations

from fmtharness.generators import pools
from fmtharness.generators.ownership import by_split, owner
from fmtharness.generators.writing.words import WORDS as WRITING

LANGUAGES = {
    "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese",
    "nl": "Dutch", "pl": "Polish", "tr": "Turkish", "ja": "Japanese", "zh": "Chinese",
    "ar": "Arabic", "ru": "Russian", "el": "Greek",
}  # fmt: skip


def _table(text: str) -> dict[str, dict[str, str]]:
    rows = [row.split("|") for row in text.strip().splitlines()]
    return {row[0].strip(): dict(zip(LANGUAGES, row[1:], strict=True)) for row in rows}


WORDS = _table("""
    bread|Brot|pain|pan|pane|pão|brood|chleb|ekmek|パン|面包|خبز|хлеб|ψωμί
    water|Wasser|eau|agua|acqua|água|water|woda|su|水|水|ماء|вода|νερό
    milk|Milch|lait|leche|latte|leite|melk|mleko|süt|牛乳|牛奶|حليب|молоко|γάλα
    apple|Apfel|pomme|manzana|mela|maçã|appel|jabłko|elma|りんご|苹果|تفاحة|яблоко|μήλο
    cheese|Käse|fromage|queso|formaggio|queijo|kaas|ser|peynir|チーズ|奶酪|جبن|сыр|τυρί
    egg|Ei|œuf|huevo|uovo|ovo|ei|jajko|yumurta|卵|鸡蛋|بيضة|яйцо|αυγό
    fish|Fisch|poisson|pescado|pesce|peixe|vis|ryba|balık|魚|鱼|سمك|рыба|ψάρι
    salt|Salz|sel|sal|sale|sal|zout|sól|tuz|塩|盐|ملح|соль|αλάτι
    sugar|Zucker|sucre|azúcar|zucchero|açúcar|suiker|cukier|şeker|砂糖|糖|سكر|сахар|ζάχαρη
    coffee|Kaffee|café|café|caffè|café|koffie|kawa|kahve|コーヒー|咖啡|قهوة|кофе|καφές
    tea|Tee|thé|té|tè|chá|thee|herbata|çay|お茶|茶|شاي|чай|τσάι
    house|Haus|maison|casa|casa|casa|huis|dom|ev|家|房子|بيت|дом|σπίτι
    door|Tür|porte|puerta|porta|porta|deur|drzwi|kapı|ドア|门|باب|дверь|πόρτα
    window|Fenster|fenêtre|ventana|finestra|janela|raam|okno|pencere|窓|窗户|نافذة|окно|παράθυρο
    table|Tisch|table|mesa|tavolo|mesa|tafel|stół|masa|テーブル|桌子|طاولة|стол|τραπέζι
    chair|Stuhl|chaise|silla|sedia|cadeira|stoel|krzesło|sandalye|椅子|椅子|كرسي|стул|καρέκλα
    book|Buch|livre|libro|libro|livro|boek|książka|kitap|本|书|كتاب|книга|βιβλίο
    key|Schlüssel|clé|llave|chiave|chave|sleutel|klucz|anahtar|鍵|钥匙|مفتاح|ключ|κλειδί
    bed|Bett|lit|cama|letto|cama|bed|łóżko|yatak|ベッド|床|سرير|кровать|κρεβάτι
    dog|Hund|chien|perro|cane|cão|hond|pies|köpek|犬|狗|كلب|собака|σκύλος
    cat|Katze|chat|gato|gatto|gato|kat|kot|kedi|猫|猫|قطة|кошка|γάτα
    bird|Vogel|oiseau|pájaro|uccello|pássaro|vogel|ptak|kuş|鳥|鸟|طائر|птица|πουλί
    horse|Pferd|cheval|caballo|cavallo|cavalo|paard|koń|at|馬|马|حصان|лошадь|άλογο
    tree|Baum|arbre|árbol|albero|árvore|boom|drzewo|ağaç|木|树|شجرة|дерево|δέντρο
    flower|Blume|fleur|flor|fiore|flor|bloem|kwiat|çiçek|花|花|زهرة|цветок|λουλούδι
    sun|Sonne|soleil|sol|sole|sol|zon|słońce|güneş|太陽|太阳|شمس|солнце|ήλιος
    moon|Mond|lune|luna|luna|lua|maan|księżyc|ay|月|月亮|قمر|луна|φεγγάρι
    star|Stern|étoile|estrella|stella|estrela|ster|gwiazda|yıldız|星|星星|نجمة|звезда|αστέρι
    rain|Regen|pluie|lluvia|pioggia|chuva|regen|deszcz|yağmur|雨|雨|مطر|дождь|βροχή
    snow|Schnee|neige|nieve|neve|neve|sneeuw|śnieg|kar|雪|雪|ثلج|снег|χιόνι
    wind|Wind|vent|viento|vento|vento|wind|wiatr|rüzgâr|風|风|ريح|ветер|άνεμος
    fire|Feuer|feu|fuego|fuoco|fogo|vuur|ogień|ateş|火|火|نار|огонь|φωτιά
    sea|Meer|mer|mar|mare|mar|zee|morze|deniz|海|海|بحر|море|θάλασσα
    river|Fluss|rivière|río|fiume|rio|rivier|rzeka|nehir|川|河|نهر|река|ποτάμι
    mountain|Berg|montagne|montaña|montagna|montanha|berg|góra|dağ|山|山|جبل|гора|βουνό
    city|Stadt|ville|ciudad|città|cidade|stad|miasto|şehir|都市|城市|مدينة|город|πόλη
    street|Straße|rue|calle|strada|rua|straat|ulica|sokak|通り|街道|شارع|улица|δρόμος
    bicycle|Fahrrad|vélo|bicicleta|bicicletta|bicicleta|fiets|rower|bisiklet|自転車|自行车|دراجة|велосипед|ποδήλατο
    car|Auto|voiture|coche|macchina|carro|auto|samochód|araba|車|汽车|سيارة|машина|αυτοκίνητο
    ship|Schiff|bateau|barco|nave|navio|schip|statek|gemi|船|船|سفينة|корабль|πλοίο
    school|Schule|école|escuela|scuola|escola|school|szkoła|okul|学校|学校|مدرسة|школа|σχολείο
    doctor|Arzt|médecin|médico|medico|médico|arts|lekarz|doktor|医者|医生|طبيب|врач|γιατρός
    friend|Freund|ami|amigo|amico|amigo|vriend|przyjaciel|arkadaş|友達|朋友|صديق|друг|φίλος
    mother|Mutter|mère|madre|madre|mãe|moeder|matka|anne|母|母亲|أم|мать|μητέρα
    father|Vater|père|padre|padre|pai|vader|ojciec|baba|父|父亲|أب|отец|πατέρας
    child|Kind|enfant|niño|bambino|criança|kind|dziecko|çocuk|子供|孩子|طفل|ребёнок|παιδί
    hand|Hand|main|mano|mano|mão|hand|ręka|el|手|手|يد|рука|χέρι
    head|Kopf|tête|cabeza|testa|cabeça|hoofd|głowa|baş|頭|头|رأس|голова|κεφάλι
    heart|Herz|cœur|corazón|cuore|coração|hart|serce|kalp|心臓|心|قلب|сердце|καρδιά
    eye|Auge|œil|ojo|occhio|olho|oog|oko|göz|目|眼睛|عين|глаз|μάτι
    red|rot|rouge|rojo|rosso|vermelho|rood|czerwony|kırmızı|赤|红色|أحمر|красный|κόκκινο
    green|grün|vert|verde|verde|verde|groen|zielony|yeşil|緑|绿色|أخضر|зелёный|πράσινο
    black|schwarz|noir|negro|nero|preto|zwart|czarny|siyah|黒|黑色|أسود|чёрный|μαύρο
    white|weiß|blanc|blanco|bianco|branco|wit|biały|beyaz|白|白色|أبيض|белый|άσπρο
    big|groß|grand|grande|grande|grande|groot|duży|büyük|大きい|大|كبير|большой|μεγάλος
    small|klein|petit|pequeño|piccolo|pequeno|klein|mały|küçük|小さい|小|صغير|маленький|μικρός
    new|neu|nouveau|nuevo|nuovo|novo|nieuw|nowy|yeni|新しい|新|جديد|новый|νέος
    today|heute|aujourd'hui|hoy|oggi|hoje|vandaag|dzisiaj|bugün|今日|今天|اليوم|сегодня|σήμερα
    tomorrow|morgen|demain|mañana|domani|amanhã|morgen|jutro|yarın|明日|明天|غدا|завтра|αύριο
    yesterday|gestern|hier|ayer|ieri|ontem|gisteren|wczoraj|dün|昨日|昨天|أمس|вчера|χθες
    music|Musik|musique|música|musica|música|muziek|muzyka|müzik|音楽|音乐|موسيقى|музыка|μουσική
    time|Zeit|temps|tiempo|tempo|tempo|tijd|czas|zaman|時間|时间|وقت|время|χρόνος
    night|Nacht|nuit|noche|notte|noite|nacht|noc|gece|夜|夜晚|ليل|ночь|νύχτα
    winter|Winter|hiver|invierno|inverno|inverno|winter|zima|kış|冬|冬天|شتاء|зима|χειμώνας
    summer|Sommer|été|verano|estate|verão|zomer|lato|yaz|夏|夏天|صيف|лето|καλοκαίρι
    three|drei|trois|tres|tre|três|drie|trzy|üç|三|三个|ثلاثة|три|τρία
    seven|sieben|sept|siete|sette|sete|zeven|siedem|yedi|七|七个|سبعة|семь|επτά
    thank you|danke|merci|gracias|grazie|obrigado|dank je|dziękuję|teşekkürler|ありがとう|谢谢|شكرا|спасибо|ευχαριστώ
    please|bitte|s'il vous plaît|por favor|per favore|por favor|alsjeblieft|proszę|lütfen|お願いします|请|من فضلك|пожалуйста|παρακαλώ
    goodbye|auf Wiedersehen|au revoir|adiós|arrivederci|adeus|tot ziens|do widzenia|hoşça kal|さようなら|再见|مع السلامة|до свидания|αντίο
    good night|gute Nacht|bonne nuit|buenas noches|buonanotte|boa noite|welterusten|dobranoc|iyi geceler|おやすみなさい|晚安|تصبح على خير|спокойной ночи|καληνύχτα
    welcome|willkommen|bienvenue|bienvenido|benvenuto|bem-vindo|welkom|witamy|hoş geldiniz|ようこそ|欢迎|مرحبا|добро пожаловать|καλώς ήρθατε
    congratulations|herzlichen Glückwunsch|félicitations|felicidades|congratulazioni|parabéns|gefeliciteerd|gratulacje|tebrikler|おめでとうございます|恭喜|تهانينا|поздравляю|συγχαρητήρια
    open|offen|ouvert|abierto|aperto|aberto|open|otwarte|açık|開いている|开着|مفتوح|открыто|ανοιχτό
    closed|geschlossen|fermé|cerrado|chiuso|fechado|gesloten|zamknięte|kapalı|閉まっている|关着|مغلق|закрыто|κλειστό
""")  # noqa: E501
PHRASES = _table("""
    Good morning, {name}!|Guten Morgen, {name}!|Bonjour, {name} !|¡Buenos días, {name}!|Buongiorno, {name}!|Bom dia, {name}!|Goedemorgen, {name}!|Dzień dobry, {name}!|Günaydın, {name}!|おはようございます、{name}さん!|早上好，{name}！|صباح الخير يا {name}!|Доброе утро, {name}!|Καλημέρα, {name}!
    My name is {name}.|Mein Name ist {name}.|Je m'appelle {name}.|Me llamo {name}.|Mi chiamo {name}.|Meu nome é {name}.|Mijn naam is {name}.|Nazywam się {name}.|Benim adım {name}.|私の名前は{name}です。|我叫{name}。|اسمي {name}.|Меня зовут {name}.|Με λένε {name}.
    Happy birthday, {name}!|Alles Gute zum Geburtstag, {name}!|Joyeux anniversaire, {name} !|¡Feliz cumpleaños, {name}!|Buon compleanno, {name}!|Feliz aniversário, {name}!|Gefeliciteerd met je verjaardag, {name}!|Wszystkiego najlepszego, {name}!|Doğum günün kutlu olsun, {name}!|お誕生日おめでとう、{name}さん!|生日快乐，{name}！|عيد ميلاد سعيد يا {name}!|С днём рождения, {name}!|Χρόνια πολλά, {name}!
    How are you, {name}?|Wie geht es dir, {name}?|Comment vas-tu, {name} ?|¿Cómo estás, {name}?|Come stai, {name}?|Como estás, {name}?|Hoe gaat het met je, {name}?|Jak się masz, {name}?|Nasılsın, {name}?|お元気ですか、{name}さん?|你好吗，{name}？|كيف حالك يا {name}؟|Как дела, {name}?|Τι κάνεις, {name};
    See you tomorrow, {name}!|Bis morgen, {name}!|À demain, {name} !|¡Hasta mañana, {name}!|A domani, {name}!|Até amanhã, {name}!|Tot morgen, {name}!|Do jutra, {name}!|Yarın görüşürüz, {name}!|また明日、{name}さん!|明天见，{name}！|أراك غدا يا {name}!|До завтра, {name}!|Τα λέμε αύριο, {name}!
    Where is {name}?|Wo ist {name}?|Où est {name} ?|¿Dónde está {name}?|Dov'è {name}?|Onde está {name}?|Waar is {name}?|Gdzie jest {name}?|{name} nerede?|{name}さんはどこですか?|{name}在哪里？|أين {name}؟|Где {name}?|Πού είναι ο/η {name};
    {name} is not here.|{name} ist nicht hier.|{name} n'est pas là.|{name} no está aquí.|{name} non è qui.|{name} não está aqui.|{name} is niet hier.|Nie ma tu osoby o imieniu {name}.|{name} burada değil.|{name}さんはここにいません。|{name}不在这里。|{name} ليس هنا.|{name} сейчас не здесь.|Δεν είναι εδώ ο/η {name}.
    Thank you very much, {name}.|Vielen Dank, {name}.|Merci beaucoup, {name}.|Muchas gracias, {name}.|Grazie mille, {name}.|Muito obrigado, {name}.|Hartelijk dank, {name}.|Dziękuję bardzo, {name}.|Çok teşekkür ederim, {name}.|どうもありがとうございます、{name}さん。|非常感谢，{name}。|شكرا جزيلا يا {name}.|Большое спасибо, {name}.|Ευχαριστώ πολύ, {name}.
    Good luck, {name}!|Viel Glück, {name}!|Bonne chance, {name} !|¡Buena suerte, {name}!|Buona fortuna, {name}!|Boa sorte, {name}!|Veel succes, {name}!|Powodzenia, {name}!|İyi şanslar, {name}!|頑張って、{name}さん!|祝你好运，{name}！|حظا سعيدا يا {name}!|Удачи, {name}!|Καλή τύχη, {name}!
    I am sorry, {name}.|Es tut mir leid, {name}.|Je suis désolé, {name}.|Lo siento, {name}.|Mi dispiace, {name}.|Sinto muito, {name}.|Het spijt me, {name}.|Przykro mi, {name}.|Üzgünüm, {name}.|ごめんなさい、{name}さん。|对不起，{name}。|أنا آسف يا {name}.|Мне жаль, {name}.|Λυπάμαι, {name}.
""")  # noqa: E501


def _unshared(words: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """Only words that mean one thing in all the languages, and that no pool gives another split."""
    pooled = [*vars(pools).values(), *WRITING.values()]
    others = {
        word.casefold()
        for pool in pooled
        if isinstance(pool, dict) and "train" in pool
        for words_of_split in pool.values()
        for word in words_of_split
    }
    owners: dict[str, set[str]] = {}
    for english, row in words.items():
        for text in (english, *row.values()):
            owners.setdefault(text.casefold(), set()).add(english)
    return {
        english: row
        for english, row in words.items()
        if all(owners[text.casefold()] == {english} for text in (english, *row.values()))
        and not any(
            text.casefold() in others and owner(text) != owner(english)
            for text in (english, *row.values())
        )
    }


WORDS = _unshared(WORDS)
SPLIT_WORDS = by_split(WORDS)
