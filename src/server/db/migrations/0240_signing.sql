-- The sign-in of the program that a key was made with. It ends with that one where that was stolen, or is ended by its
-- owner.
ALTER TABLE tokens ADD COLUMN made_in TEXT;
CREATE INDEX tokens_made_in ON tokens (org, made_in);

-- What somebody has, for their own list of it.
CREATE INDEX tokens_person ON tokens (org, person);
