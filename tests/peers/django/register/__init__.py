"""The member register as the suite knows it from outside: models, API and signals of contract members.md §6."""
