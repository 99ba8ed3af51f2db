"""The nurse's page: server-rendered, live by server-sent events, no build step and nothing from elsewhere."""
