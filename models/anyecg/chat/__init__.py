"""anyECG-chat: the language model that reads one ECG or several, and what keeps it to the evidence."""
