"""How fast an update is, where its time goes, and what memory it takes, beside other libraries."""
