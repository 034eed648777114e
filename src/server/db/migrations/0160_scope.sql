-- The only project that a token counts in, by its identifier; the whole organization where nothing is said.
ALTER TABLE tokens ADD COLUMN project TEXT;

-- The only project that jobs let in by a rule work in.
ALTER TABLE trust_rules ADD COLUMN project TEXT;
