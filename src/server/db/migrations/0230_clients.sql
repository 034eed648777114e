-- The programs that an organization has registered, which its members may let in. None of them keeps a secret.
CREATE TABLE oauth_clients (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The name, as it is compared.
    folded TEXT NOT NULL,
    -- The addresses that an answer may be sent to, one in a line; there may be none.
    redirects TEXT NOT NULL,
    -- Whether it may be let in by a code that a person types.
    device BIGINT NOT NULL,
    -- Who registered it.
    person TEXT NOT NULL REFERENCES people (id),
    created BIGINT NOT NULL,
    -- How often it was changed; what an ETag is made of.
    revision BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX oauth_clients_id ON oauth_clients (id);
CREATE UNIQUE INDEX oauth_clients_name ON oauth_clients (org, folded);
