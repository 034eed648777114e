-- How often an organization was changed, which is what an ETag is made of; and when it was deleted: then nothing of it is
-- there any more but its audit.
ALTER TABLE organizations ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE organizations ADD COLUMN deleted BIGINT;

-- What whoever has shown half of who they are is about to accept.
ALTER TABLE half_sessions ADD COLUMN invitation TEXT;

-- How many days an API key may live in an organization, and how many of them a member may have; any where nothing is
-- said.
ALTER TABLE organizations ADD COLUMN key_days BIGINT;
ALTER TABLE organizations ADD COLUMN keys_each BIGINT;

-- The network that a token was last used from.
ALTER TABLE tokens ADD COLUMN used_from TEXT;
