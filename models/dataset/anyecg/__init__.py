"""The anyECG dataset: questions and answers in chat form, every answer derived from annotations."""
