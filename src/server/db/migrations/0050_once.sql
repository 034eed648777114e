-- What a key of a request was used for, for a day: codes of the key and of the request, and what was made. Never the
-- answer, which may have a secret in it.
CREATE TABLE idempotency_keys (
    org TEXT NOT NULL REFERENCES organizations (id),
    owner TEXT NOT NULL,
    key BYTEA NOT NULL,
    request BYTEA NOT NULL,
    status BIGINT NOT NULL,
    object TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (org, owner, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created);
