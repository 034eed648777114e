-- What each credential may do, as its provider said when it last answered: a list, empty where it did not say.

ALTER TABLE credentials ADD COLUMN scopes TEXT NOT NULL DEFAULT '[]';
