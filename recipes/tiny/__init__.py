"""The recipe of the bundled model: texts -> speech -> tokenizer -> training -> export, one command a stage."""
