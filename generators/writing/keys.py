"""Names of keys by what stands under them, and the records that documents consist of.

    ONE["step"]   ->  ("step", "instruction", ...)      a key with one text of `LINES["step"]`
    MANY["step"]  ->  ("steps", "instructions", ...)    a key with a list of them
    RECORDS[0]    ->  Record(("section", ...), ("sections", ...), ("title", "paragraph", "tip*"))

A kind is one of `LINES`, "paragraph", "choice" or a kind of `generators.values`; `*` is a list.
"""

from __future__ import annotations

from typing import NamedTuple


def _labels(text: str) -> tuple[str, ...]:
    return tuple(label.strip() for label in " ".join(text.split()).split(","))


ONE: dict[str, tuple[str, ...]] = {
    kind: _labels(labels)
    for kind, labels in {
        "title": """title, headline, name, heading, caption, subject, label, theme, topic,
            working title, display name, chapter title, subtitle, banner""",
        "summary": """summary, overview, abstract, synopsis, gist, description, blurb, teaser,
            outline, short description, purpose, idea, concept, premise""",
        "paragraph": """body, text, content, story, message, introduction, background, explanation,
            details, main part, article, report, long description, history, letter text""",
        "sentence": """intro, opening, comment, statement, scene, setting, first impression,
            one liner, key message, caption text, conclusion, ending, final remark,
            plot, situation""",
        "step": "step, instruction, action, next step, first step, what to do",
        "tip": "tip, advice, recommendation, suggestion, pro tip, good to know, how to use",
        "pro": "pro, advantage, benefit, strength, upside, best part",
        "con": "con, disadvantage, drawback, weakness, downside, catch",
        "question": "question, query, ask, open question, discussion question, q, problem",
        "answer": "answer, solution, reply, response, a, correct answer, explanation given",
        "hint": "hint, clue, first clue, nudge, help",
        "riddle": "riddle, puzzle, brain teaser, conundrum",
        "quote": "quote, motto, saying, quotation, citation, last words, testimonial",
        "line": "verse, first line, last line, refrain, chorus",
        "remark": "remark, says, speech, utterance, spoken text, catchphrase",
        "slogan": "slogan, tagline, call to action, claim, punchline, hook",
        "fact": "fact, fun fact, did you know, observation, finding, trivia",
        "warning": "warning, caution, danger, safety note, alert, risk",
        "rule": "rule, condition, requirement, policy, house rule",
        "goal": "goal, aim, target, mission, objective, wish, plan",
        "reason": "reason, why, because, rationale, justification, motive, cause",
        "note": "note, remarks, footnote, memo, postscript, annotation, side note, ps",
        "praise": "review, verdict, opinion, feedback, customer voice, experience",
        "greeting": "greeting, salutation, welcome, dear",
        "closing": "closing, signature, sign off, regards, farewell",
        "trait": "trait, quality, habit, talent, quirk, special power, flaw",
        "ingredient": "ingredient, main ingredient, secret ingredient, topping",
        "item": "item, object, tool, thing, gift, prize, equipment, souvenir",
        "option": "option, choice, alternative, suggestion made, favourite",
        "definition": "definition, meaning, in other words, sense",
        "level": "level, excellent, good, fair, poor, expectation, standard",
        "tag": "tag, keyword, hashtag, genre, category, field",
        "role": "role, job, occupation, profession, audience, position, title held",
        "place": "place, location, venue, room, meeting point, where, destination, habitat",
        "mood": "mood, tone, feeling, emotion, atmosphere, attitude",
        "animal": "animal, pet, mascot, companion, species",
        "material": "material, made of, fabric, surface, substance",
        "weather": "weather, forecast, conditions, outlook",
        "dish": "dish, meal, starter, dessert, snack, main course, menu item",
        "team": "team, group, club, crew, band, opponent",
        "nickname": "nickname, alias, stage name, also called, username",
        "person": """author, host, speaker, hero, contact, organiser, written by, guest, teacher,
            owner, editor, character, full name, sender, recipient, winner,
            interviewer""",
        "company": "company, publisher, brand, maker, employer, sponsor, supplier",
        "email": "email, contact email, reply to",
        "phone": "phone, telephone, hotline",
        "city": "city, town, home town, birthplace, origin",
        "country": "country, homeland, nation",
        "date": "date, day, deadline, published on, valid until, start date, born",
        "time": "time, start time, opens at, closes at, when, departure",
        "code": "code, id, reference, article number, room code",
        "version": "version, release, edition number",
        "year": "year, founded, since, built in",
        "count": """quantity, servings, pages, age, minutes, number of guests, points,
            duration minutes, weight kg, lucky number, seats, rounds""",
        "amount": "total, budget, distance m, population, word limit, calories",
        "price": "price, cost, fee, ticket price, deposit",
        "rating": "rating, stars, score, average grade",
        "flag": """available, vegetarian, indoors, free entry, recommended, finished, public,
            suitable for children, required, in stock""",
        "choice": "status, size, kind, type, difficulty, priority, season, state, format, class",
    }.items()
}
MANY: dict[str, tuple[str, ...]] = {
    kind: _labels(labels)
    for kind, labels in {
        "title": "titles, headlines, headings, alternative titles, ideas, chapters",
        "sentence": "sentences, paragraphs, highlights, key points, scenes, points, impressions",
        "step": "steps, instructions, method, directions, tasks, actions, to do, preparation",
        "tip": "tips, advice list, recommendations, suggestions, dos, best practices",
        "pro": "pros, advantages, benefits, strengths, arguments for, good points",
        "con": "cons, disadvantages, drawbacks, weaknesses, arguments against, bad points",
        "question": "questions, open questions, quiz, discussion, faq, queries",
        "answer": "answers, replies, solutions, possible answers",
        "hint": "hints, clues, pointers",
        "riddle": "riddles, puzzles, brain teasers",
        "quote": "quotes, testimonials, voices, sayings, mottos",
        "line": "lines, verses, stanza, lyrics, poem, couplets",
        "remark": "remarks, dialogue, conversation, exchanges, sentences spoken",
        "slogan": "slogans, taglines, claims, captions",
        "fact": "facts, findings, observations, trivia list, did you know facts, discoveries",
        "warning": "warnings, cautions, risks, safety notes, donts",
        "rule": "rules, conditions, requirements, house rules, terms, guidelines",
        "goal": "goals, aims, objectives, next steps, resolutions, plans",
        "reason": "reasons, arguments, causes, motives",
        "note": "notes, comments, reminders, footnotes, open points",
        "praise": "reviews, opinions, feedback list, customer voices",
        "trait": "traits, qualities, skills, habits, talents, quirks, powers",
        "ingredient": "ingredients, shopping list, contents, supplies needed, toppings",
        "item": "items, tools, equipment, materials needed, packing list, inventory, parts, props",
        "option": "options, choices, alternatives, candidates, distractors",
        "level": "levels, grades, descriptors",
        "tag": "tags, keywords, hashtags, categories, topics, interests, genres",
        "role": "roles, jobs, audiences, participants wanted",
        "place": "places, stops, locations, sights, rooms, stations",
        "mood": "moods, feelings, emotions",
        "animal": "animals, species list, pets",
        "material": "materials, fabrics, surfaces",
        "dish": "dishes, courses, menu, starters, desserts, snacks",
        "person": "people, guests, authors, speakers, characters, members, cast, thanks to",
        "city": "cities, towns, tour stops, branches",
        "nickname": "names, name ideas, aliases, suggested names, possible names",
        "date": "dates, deadlines, meeting dates",
        "time": "times, departures, opening times",
        "count": "scores, measurements, lucky numbers, results, points per round",
        "price": "prices, costs, bids",
    }.items()
}


class Record(NamedTuple):
    """A record that stands in a document once, or several times in a list."""

    one: tuple[str, ...]
    many: tuple[str, ...]
    kinds: tuple[str, ...]


def _record(one: str, many: str, kinds: str) -> Record:
    return Record(_labels(one), _labels(many), tuple(kinds.split()))


RECORDS = (
    _record("section", "sections, parts, blocks", "title paragraph tip* quote sentence* note"),
    _record("chapter", "chapters, episodes", "title summary place person* count line sentence*"),
    _record("stage", "stages, phases, steps", "title step* item* count warning goal"),
    _record("day plan", "days, schedule, programme", "title time place note option* dish"),
    _record("speaker", "speakers, presenters", "person role summary city time question*"),
    _record("hero", "characters, figures, heroes", "person role trait* quote goal mood nickname"),
    _record("quiz item", "questions, quiz, cards", "question option* answer hint count reason"),
    _record("recipe", "recipes, dishes", "dish ingredient* step* count flag tip"),
    _record("product", "products, articles, goods", "item price summary material flag tag* rating"),
    _record("review", "reviews, testimonials", "nickname rating praise pro* con* date flag"),
    _record("contact", "contacts, team", "person email phone role city"),
    _record("criterion", "criteria, aspects", "title level* count reason definition"),
    _record("term", "glossary, terms, vocabulary", "tag definition sentence option*"),
    _record("room", "rooms, stations, halls", "place item* count warning material flag"),
    _record("scene", "scenes, acts", "place weather remark* sentence mood person*"),
    _record("turn", "turns, lines, dialogue", "person remark mood"),
    _record("animal file", "animals, residents", "animal dish trait* fact nickname count"),
    _record("comparison", "comparisons, options", "option pro* con* price rating"),
    _record("match", "matches, games, fixtures", "team place date count note person*"),
    _record("stop", "stops, sights, legs", "city place fact tip* time price"),
    _record("problem", "problems, issues, cases", "title reason* step* choice person flag"),
    _record("meta", "versions, revisions", "version date person note* flag"),
    _record("header", "slides, pages", "title tag* slogan sentence* count"),
    _record("offer", "offers, packages, tariffs", "title price pro* rule* flag date"),
    _record("letter", "letters, replies", "greeting paragraph closing note"),
    _record("exercise", "exercises, tasks, drills", "title step* count goal warning choice"),
    _record("exhibit", "exhibits, objects", "item material year fact* person code"),
    _record("song", "songs, tracks", "title person line* count mood tag*"),
    _record("goal", "goals, milestones", "goal date reason step* choice"),
    _record("opening", "opening hours, shifts", "choice time person* note"),
)
