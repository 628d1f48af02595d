"""What may stand around an ordinary request: a system message, a sentence, a follow-up.

TAILS["train"]  ->  ("Thanks in advance!", "Please be brief.", ...)
"""

from __future__ import annotations

from fmtharness.generators.ordinary.wordings import lines
from fmtharness.generators.ownership import BySplit

FOLLOW_UPS: BySplit = lines("""
    Could you say that in one sentence?
    Thanks! And what would be an example of that?
    Hm, I am not sure that I understand. Put it more simply, please.
    why?
    Are you sure?
    Nice. Anything else that I should know?
    Shorter, please.
    Interesting! How do you know?
    ok, and what do other people think
    Make it a little funnier.
    Say it again, but politely.
    And what is the downside?
""")
"""A second turn of the user."""
SYSTEMS: BySplit = lines("""
    You are a helpful assistant.
    You are a kind and patient teacher.
    Answer in simple English.
    Keep your answers short.
    You help visitors of a public library.
    You are an assistant on a website about gardens.
    Be friendly and to the point.
    You talk with people who learn English.
    You are the assistant of a small travel company.
    Answer honestly, and say so if you do not know something.
    You are a cheerful companion for people who live alone.
    You answer questions of pupils between ten and fourteen.
    Use everyday words.
    You write for a local newspaper.
    You are a calm voice late in the evening.
    Be brief: one or two sentences.
""")
"""System messages; none of them demands a format."""
LEADS: BySplit = lines("""
    I have been wondering about this since breakfast.
    My kids and I had a small argument about this.
    It is for a friend of mine.
    Sorry if this is a silly thing to ask.
    I am writing a little piece for our club.
    I am preparing a lesson for next week.
    We are on a long car ride and need something to talk about.
    I am new here, so please bear with me.
    Back again with another one!
    I have five minutes before my bus comes.
    This came up at dinner yesterday.
    I could not find anything useful on the web.
    Here is a small task for you.
    English is not my first language, so keep that in mind.
    I am sitting in a waiting room with nothing to read.
    You helped my sister last week, now it is my turn.
""")
"""A sentence that may stand before a request."""
TAILS: BySplit = lines("""
    Thanks in advance!
    Keep it short, please.
    One or two sentences are enough.
    No rush.
    Please be brief.
    thx
    I would be grateful.
    Just a sentence or two.
    Plain words, please.
    Don't make it too long.
    A short answer will do.
    Please don't use difficult words.
    In a nutshell, please.
    And be nice about it.
    Surprise me.
    Take your time.
""")
"""A sentence that may stand after a request."""
