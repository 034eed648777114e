-- The secrets of the server's clients at outside issuers, apart from what is known of those. An issuer has a row in one of
-- the two tables or in none: sealed here, or the place outside of the database where it rests.
CREATE TABLE upstream_secrets (
    org TEXT NOT NULL,
    upstream TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (org, upstream),
    FOREIGN KEY (org, upstream) REFERENCES upstreams (org, id) ON DELETE CASCADE
);
CREATE TABLE kept_upstream_secrets (
    org TEXT NOT NULL,
    upstream TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (org, upstream),
    FOREIGN KEY (org, upstream) REFERENCES upstreams (org, id) ON DELETE CASCADE
);
ALTER TABLE upstreams ADD COLUMN has_secret BIGINT NOT NULL DEFAULT 0;
INSERT INTO upstream_secrets (org, upstream, sealed)
    SELECT org, id, client_secret FROM upstreams WHERE LENGTH(client_secret) > 0;
UPDATE upstreams SET has_secret = 1 WHERE LENGTH(client_secret) > 0;
ALTER TABLE upstreams DROP COLUMN client_secret;
