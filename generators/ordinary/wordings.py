"""How ordinary prompts ask: wordings by kind, one a line, with fields for their topics.

WORDINGS["list"]["train"]  ->  ("Three uses for {thing}?", ...)

Most ask for something short, since a small model seldom ends a long answer by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from fmtharness.generators.ordinary.technical import CODE, MENTIONS
from fmtharness.generators.ownership import BySplit, by_split


def lines(text: str) -> BySplit:
    """The lines that each split owns."""
    return by_split(line.strip() for line in text.splitlines() if line.strip())


WORDINGS: Mapping[str, BySplit] = {
    "question": lines("""
        What is the most surprising thing about {subject}?
        In one sentence, what should everybody know about {subject}?
        Tell me one fact about {subject}.
        Why do people find {subject} interesting? Two sentences are plenty.
        Can you tell me briefly what there is to know about {subject}?
        I know nothing about {subject}. Where would you begin?
        what's the deal with {subject}
        Explain {subject} to me like I'm five.
        Explain {subject} to a curious teenager in three sentences.
        How would you sum up {subject} in a single sentence?
        Is there anything about {subject} that most people get wrong?
        My niece asked me about {subject} and I had no answer. What do I say?
        Who studies {subject}, and what for?
        Give me the short version: {subject}.
        {subject}?
        quick question about {subject}: does anybody need to know about that?
        What would the world be like without {subject}?
        What is the simplest explanation of {subject} that is still correct?
        How long have people known about {subject}?
        Where could I see or learn more about {subject}?
        Describe {subject} in plain words, without any jargon.
        What comes to your mind when you hear of {subject}?
        I have a quiz tomorrow and one round is about {subject}. Give me something to remember.
        Is {thing} something you would find in most homes?
        What is {thing} usually made of?
        Who owned the first one, {thing} I mean?
        How much would {thing} cost, roughly?
        What does the word '{word}' mean?
        Define '{word}' in a few words.
        use the word {word} in a sentence pls
        What is the opposite of '{word}'?
        Is '{word}' a formal word or an everyday one?
        Give me a word that means the same as '{word}'.
        How do I {deed}?
        What is the easiest way to {deed}?
        how long does it take to {deed}
        Can a beginner {deed}, or should I ask somebody?
        What is the most common mistake when people try to {deed}?
        What do I need if I want to {deed}?
        One good tip for me: I want to {deed}.
        Is it worth the trouble to {deed}?
        When is the best time of the year to {deed}?
    """),
    "chat": lines("""
        Hi! {situation}.
        hey, {situation}
        Guess what: {situation}!
        So, {situation}. What would you do?
        {situation}. Any advice?
        {situation} and I don't know how I feel about it.
        I need to tell somebody: {situation}.
        Hello there. {situation}. Say something to cheer me up.
        {situation}, lol
        Honestly, {situation}. Am I the only one?
        I'd love to hear your opinion. {situation}.
        Long day. {situation}. How was yours?
        You won't believe it, but {situation}.
        Please be honest with me: {situation}. Is it my own fault?
        {situation}. Should I laugh or cry?
        What do you think about {subject}? Just your opinion.
        Do you like {subject}?
        Let's talk about {subject} for a minute.
        I spent the whole weekend reading about {subject}.
        If you could own {thing}, what would you do with it?
        My friend gave me {thing} for no reason. Strange, isn't it?
        I found {thing} in the attic today.
        Would you rather have {thing} or a free afternoon?
        Tell me something nice, please.
        Good morning to you!
        hello hello, anybody home?
        Thanks a lot, that was kind of you.
        What are you up to?
        I'm bored. Entertain me for a minute.
        Say good night to me.
        Can we just chat a little?
        How would you describe yourself in one sentence?
        ok never mind, thank you anyway
        What makes a good day, in your eyes?
        Who are you, actually?
        yo what's up
        Let me introduce myself: I collect old maps and I hate mornings.
        Ask me a question, any question.
        Do you know what time of day I like best?
        I have decided to be in a good mood today.
        I don't really have a question. I only wanted to say hello.
        That's fine with me. See you next week!
        Cheer up, {situation}!
        {situation}. That's it, that's the story.
        Today I thought about {subject} all day long.
        What would you ask me about {subject}?
        I have a new hobby: {subject}.
    """),
    "writing": lines("""
        Write two sentences about {thing}.
        Write a short advert for {thing}, two sentences at most.
        Write a slogan for {thing}.
        A tiny story about {thing}, please, four sentences long.
        Write a story of three sentences in which {thing} gets lost.
        Write a little poem for {thing}.
        two rhyming lines about {thing}
        Write a haiku about {subject}.
        Describe {thing} for a catalogue in one paragraph.
        Write the first sentence of a novel about {subject}.
        Write a short paragraph about {subject} for a school magazine.
        Write a friendly note to a colleague because {situation}.
        Write a short text message to my mother: {situation}.
        Compose a brief email to a club that asks for a talk on {subject}.
        Write an email of three sentences that invites a friend to see {thing}.
        Draft a polite email that asks a neighbour to lend me {thing}.
        Write a thank-you card for {thing}.
        Write a small dialogue between {thing} and {role}.
        Invent a proverb with {thing} in it.
        Write a funny review of {thing}, two or three sentences.
        Write a one-paragraph introduction to {subject}.
        Make up a headline about {subject}.
        Write a caption for a photo of {thing}.
        A birthday wish for somebody who loves {subject}, please.
        Write a diary entry of {role}, five sentences at most.
        Write a short speech by {role} about {subject}.
        Write a postcard from {role} to a friend.
        Tell me a short joke about {role}.
        Make up a riddle whose solution is {thing}.
        Write a warning sign about {thing}.
        a message to my neighbour who still has {thing} of mine, friendly but clear
        an excuse for my boss, {situation}
        Answer this for me, kindly: "{situation}, can you come over?"
        Write a short notice: somebody has left {thing} in the hall.
        Write a very short fable with {thing} and a moral.
        Describe the smell and the sound of {thing}.
        Write an encouraging note for someone who wants to {deed}.
        Write a short instruction for a friend who wants to {deed}.
        Write a short paragraph that explains why one might {deed}.
        Write a short product description for {thing}.
        Write a short biography of {role}, all made up.
        Put this into a short scene: {situation}.
        Write me a paragraph that begins with: 'It all began with {thing}.'
    """),
    "list": lines("""
        Three uses for {thing}?
        List three things that go well with {thing}.
        Name four facts about {subject}.
        Give me three short facts about {subject}.
        What are the main parts of {thing}? A short list will do.
        Give me three tips on how to {deed}.
        The steps to {deed}, please, in a short list.
        What do I need to {deed}? Just list it.
        List two advantages and two drawbacks of {thing}.
        Name three books or films that deal with {subject}.
        Three questions that I could ask an expert on {subject}.
        Give me five words that come to mind with {subject}.
        Name three jobs that have to do with {subject}.
        Suggest three names for {role}.
        Suggest a few names for {thing}.
        Three ideas for a present for {role}.
        bullet points please: why {subject} matter
        a short checklist before i {deed}
        Name three things that {role} does every day.
        Give me two reasons to {deed} and one reason not to.
        List three words that rhyme or nearly rhyme with '{word}'.
        Name three synonyms of '{word}'.
        Make a plan of three steps: I want to {deed}.
        Make a plan for one week, a line a day: I want to {deed}.
        What could go wrong when I {deed}? Name three things.
        Name three kinds of places where you find {thing}.
        Give me three short exercises for my mood. {situation}.
        Compare {thing} with {thing2} in three short points.
        Which would you pick, {thing} or {thing2}? Give two reasons.
        Compare {subject} and {subject2} in two sentences.
        Name one thing that {subject} and {subject2} have in common.
        List the colours that {thing} often has.
        A small Markdown table, please: {thing} and {thing2}, with price and weight.
        Put the good and the bad sides of {thing} into a table with two columns.
        Compare {thing} with {thing2} in a table.
        what to buy when I {deed}, for six people
        things to bring when i {deed}
        A numbered list: what {role} needs every morning.
        Rank {subject}, {subject2} and soup by how much fun they are.
        Write a to-do list for {role}.
    """),
    "language": lines("""
        Translate into {language}: {sentence}
        How do you say this in {language}? {sentence}
        {language} please: {sentence}
        Could you put this sentence into {language} for me? "{sentence}"
        What is the {language} word for '{word}'?
        I am learning {language}. Help me to say: {sentence}
        How would a child say this in {language}: {sentence}
        Say hello and goodbye in {language}.
        Count from one to five in {language}.
        Is {language} hard to learn?
        Bonjour, comment ça va ?
        Quelle est la couleur du ciel ?
        Raconte-moi quelque chose sur les abeilles.
        Wie spät ist es bei dir?
        Was ist dein Lieblingsessen?
        Erklär mir kurz, was ein Kompass ist.
        ¿Qué tiempo hace hoy?
        ¿Cuál es la capital de Perú?
        Cuéntame un chiste corto, por favor.
        Ciao, come ti chiami?
        Qual è il fiume più lungo d'Italia?
        Olá, tudo bem contigo?
        O que é um arco-íris?
        Hoe maak ik pannenkoeken?
        Wat is het grootste dier van de wereld?
        Cześć, co słychać?
        Jaka jest stolica Polski?
        Hej, hur mår du i dag?
        Vad är skillnaden mellan te och kaffe?
        今日は何曜日ですか。
        你好，你会说中文吗？
        Привет, как дела?
        Сколько дней в году?
        ما اسمك؟
        Merhaba, nasılsın?
        नमस्ते, आप कैसे हैं?
    """),
    "code": lines(CODE),
    "mentions": lines(MENTIONS),
    "reasoning": lines("""
        I have {number} apples and give away half of them. How many are left?
        What is {number} plus {number2}?
        what's {number} times {number2}
        Is {number} an even number?
        A box holds {number} eggs. How many eggs are in 3 boxes?
        If I read {number} pages a day, how many do I read in a week?
        Which is more: {number} minutes or half an hour?
        I was {number} years old ten years ago. How old am I now?
        A shirt costs {number} euros and is sold at half price. What do I pay?
        Four friends share {number} sweets. How many does each of them get?
        If today is Tuesday, what day is it in {number} days?
        Which weighs more, {thing} or {thing2}?
        Would {thing} fit into {thing2}?
        Does {thing} float on water? Say why.
        Would {thing} survive a fall from a table?
        Is it possible to {deed} in one hour?
        It is either raining or sunny, and it is not sunny. So?
        All roses are flowers. Is every flower a rose?
        Tom is taller than Ann, and Ann is taller than Ben. Who is the shortest?
        What comes next: 2, 4, 8, 16?
        {situation}. What is the sensible thing to do?
        Should I first {deed} or first have lunch?
    """),
    "rewrite": lines("""
        Make this sentence shorter: {sentence}
        Say it in other words: {sentence}
        Turn this into a question: {sentence}
        Put this into the future tense: {sentence}
        Rewrite this as if {role} had said it: {sentence}
        Make this sound friendlier: {sentence}
        Make it more dramatic. "{sentence}"
        Correct this if anything is wrong with it: {sentence}
        Continue with one more sentence: {sentence}
        Who or what is the subject of this sentence? {sentence}
        Turn this into a headline: {sentence}
        What mood does this sentence have? {sentence}
        Replace the verb of this sentence with a better one: {sentence}
        Write this in capital letters: {sentence}
        Make it rhyme: {sentence}
        Which word in this sentence is the longest? {sentence}
        What might have happened before this? {sentence}
        Is this a polite thing to say? "{sentence}"
        Explain this sentence to a child: {sentence}
        Read this and tell me what you think. {sentence}
    """),
    "passage": lines("""
        Sum this up in one sentence. {passage}
        What is this about? {passage}
        Read the following. {passage} What would be a good title for it?
        {passage} Who is the main person here?
        {passage} How does that go on? Two more sentences, please.
        Please shorten this: {passage}
        Rewrite this in the first person. {passage}
        Is this a happy text or a sad one? {passage}
        I wrote this last night. {passage} Be honest, do you like it?
        Which sentence of this could be left out? {passage}
        I got a letter today. {passage} What should I answer?
        Turn this into two lines of a poem: {passage}
        Explain in your own words what happens here. {passage}
        {passage} What do you make of it?
    """),
    "roleplay": lines("""
        You are {role}. Greet me.
        You are {role}. Tell me about your day in two sentences.
        Pretend to be {role} and sell me {thing}.
        Imagine you were {role}. What would you say about {subject}?
        Be {role} for a moment. I ask you for {thing}.
        Act as {role} who has lost {thing}.
        Speak like {role}: what is the weather like?
        What would {role} say if {situation}?
        You meet {role} on the road. What do you say?
        You are {thing}. How do you feel today?
        Let us play: you are {role} and I am your first customer. You begin.
        As {role}, give me one piece of advice.
        As {role}, explain how to {deed}.
        if you were {role} what would you eat for breakfast
        Answer like {role} would: do you like {subject}?
        Introduce yourself as {role}.
        You are {role}, and you are in a hurry. I want to talk about {subject}.
        Play {role} who sees {thing} for the first time.
        Say goodbye to me as {role} would.
        One line of a film, spoken by {role} and about {thing}.
    """),
}
"""The wordings of each kind of prompt and each split."""
