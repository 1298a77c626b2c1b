"""How it looks: plain dicts in; figures, tables, Markdown and one self-contained page of HTML out."""
