-- Sign-ins at other services that somebody has begun in a browser: each is good once, for the session that began it.
CREATE TABLE connect_attempts (
    org TEXT NOT NULL REFERENCES organizations (id),
    -- The hash of the word that the service sends back.
    hash BYTEA NOT NULL,
    credential TEXT NOT NULL,
    -- What the service was asked with: a sign-in counts for the client that it was begun for.
    registration TEXT NOT NULL,
    session TEXT NOT NULL,
    person TEXT NOT NULL,
    -- Whether it may be of somebody else than before.
    switches BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    spent BIGINT,
    PRIMARY KEY (org, hash),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX connect_attempts_hash ON connect_attempts (hash);

-- Who renews the sign-in of a credential, until when nobody else does. A holder whose time is over was interrupted;
-- without a holder, the service is left alone until then.
CREATE TABLE refresh_leases (
    org TEXT NOT NULL,
    credential TEXT NOT NULL,
    holder TEXT NOT NULL,
    ends BIGINT NOT NULL,
    PRIMARY KEY (org, credential),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE
);
