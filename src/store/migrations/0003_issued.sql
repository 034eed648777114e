-- What was made from a credential for a while, such as the session of a role: kept, so that a tool that asks for each of
-- its commands does not have it made each time. Sealed under the data key of the credential's present version.

CREATE TABLE issued (
    credential TEXT NOT NULL REFERENCES credentials (id) ON DELETE CASCADE,
    -- As what it is handed out: usual, short.
    form TEXT NOT NULL,
    version BIGINT NOT NULL,
    made BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (credential, form)
);
