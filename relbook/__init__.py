"""The book above the library: studies, figures, claims, pages, and the press that makes them HTML."""
