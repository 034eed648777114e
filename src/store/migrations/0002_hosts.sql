-- Which hosts each credential may be sent to, so that the one for a host is found without reading all of them. What
-- stands here follows from a credential's kind and fields; another program may name other hosts for the same ones.

CREATE TABLE hosts (
    credential TEXT NOT NULL REFERENCES credentials (id) ON DELETE CASCADE,
    -- In lower case, with its port where it is not 443.
    host TEXT NOT NULL,
    PRIMARY KEY (host, credential)
);
CREATE INDEX hosts_credential ON hosts (credential);

-- The version of the program that named the hosts of the fields as they stand; empty where none did.
ALTER TABLE credentials ADD COLUMN hosts_by TEXT NOT NULL DEFAULT '';
CREATE INDEX credentials_hosts_by ON credentials (vault, hosts_by);
