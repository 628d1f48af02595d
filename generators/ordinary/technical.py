"""Wordings about programs and formats: by programmers, and by people who only hear of them."""

CODE = """
I need a Python function that {program}.
python: a one-liner that {program}
Write a small JavaScript function that {program}.
In words only, how would a program work that {program}?
How would you test a function that {program}?
Suggest a good name for a function that {program}.
Write a docstring for a function that {program}.
Is it hard for a beginner to write a program that {program}?
Write pseudocode for a program that {program}.
What could go wrong in a function that {program}? One sentence.
I want a shell command that {program}. Is that possible?
Which data structure helps most in a program that {program}?
How does a tuple differ from a list in Python?
What does the modulo operator do?
what does len() do in python
Why do people use comments in code?
What is a variable, in one sentence?
What is a bug, and why is it called that?
How do I print a text in Python?
When do I write = and when == in a program?
Should indentation be tabs or blanks?
What does 'off by one' mean to a programmer?
Explain in one sentence what an operating system does.
What does this do?{snippet}
is there a mistake in this{snippet}
Can you explain this piece of code to me, line by line?{snippet}
This is from my homework, and I am not sure about it.{snippet}
Please review these lines and be honest.{snippet}
it does not do what i want, why{snippet}
What would a better name be for what is defined or used here?{snippet}
Could this be written in fewer lines?{snippet}
My terminal says 'command not found' and I do not know what to do.
i changed one line and now nothing starts anymore, where do i look first
I get a syntax error in line 1 of a file that is empty. How can that be?
the program that {program} is too slow on my old laptop, any ideas
It says 'file exists' when I try to copy a folder. What now?
my loop never ends, how do i stop it
"""
MENTIONS = """
What is {tool}? One or two sentences, please.
Who uses {tool}, and for what?
Explain {tool} to my grandmother.
Is {tool} still used much today?
What is good about {tool}, and what is annoying?
Do I need to know about {tool} to build a small website?
I keep hearing about {tool} at work. What is meant?
Is {tool} easier to understand than {tool2}?
How does {tool} differ from {tool2}?
My colleague dreams of {tool}. Should I worry?
Write a two-line poem about {tool}.
Do you know a joke about {tool}?
When was the first time that people talked about {tool}?
A friend says that {tool} changed his life. Say something polite.
Write a short note to my team: no more {tool} on Fridays.
Can you read {tool}? Yes or no will do.
What is a good metaphor for {tool}?
Where does the name come from: {tool}?
I have an interview and they will ask about {tool}. What do I say?
I had to fill in a form about {thing} today, with forty fields. Why do offices love forms?
A brief history of {tool}, in two sentences.
Does {tool} have anything to do with {subject}?
Somebody at work swears by {tool}. Is that normal?
Does anybody love {tool}?
Is {tool} something for children, too?
I was asked to learn {tool} this year. Where do I begin?
How old is {tool}, roughly?
My nephew laughed at me since I had never heard of {tool}. What did I miss?
how do you say {tool} out loud
why does everybody at my company talk about {tool}, in simple words please
what even is {tool}
Write a short mail to a client who wants {tool} and does not say why.
Write a message to {role} who has to learn {tool} by Friday. Be kind.
Our teacher says that {tool} is dead. Is that so?
Tell me a story of four sentences in which {tool} saves the day.
Is {tool} spelt with capital letters, or does nobody care?
Which came first, {tool} or {tool2}?
I promised a talk on {tool} and have no idea how to open it. Help!
does {tool} cost anything
A customer asks for {tool} and I would rather talk him out of it. How?
Give me three short reasons for {tool}, in plain words.
What do people complain about most with {tool}?
my manager wants a summary of what {tool} is, two sentences, no jargon
"""
"""Formats and tools that are mentioned, not asked for."""
