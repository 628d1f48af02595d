"""Texts of everyday life from words, sentences and plans of documents; shared by the families.

writer = Writer("train", dice)
writer.one(LINES["tip"])  ->  "Keep 4 lanterns in reserve."
"""
