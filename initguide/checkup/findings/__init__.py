"""A file a family of findings; `registry` says what a finding is, and how one is added."""
