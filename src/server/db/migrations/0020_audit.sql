-- What a list of the audit is searched by. Each of these stands in the entry as well, and there it counts.
ALTER TABLE audit_events ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN action TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN object TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_events_at ON audit_events (org, at, sequence);
CREATE INDEX audit_events_actor ON audit_events (org, actor, sequence);
CREATE INDEX audit_events_action ON audit_events (org, action, sequence);
CREATE INDEX audit_events_object ON audit_events (org, object, sequence);

-- What the server has signed of the end of each chain, from time to time.
CREATE TABLE audit_checkpoints (
    org TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    statement TEXT NOT NULL,
    PRIMARY KEY (org, sequence)
);

-- What proves the audit of the time of a key that is not there any more, wrapped under the master key.
CREATE TABLE audit_keys (
    org TEXT NOT NULL REFERENCES organizations (id),
    version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (org, version)
);

-- The organizations whose key was replaced, as long as something rests under an older one.
CREATE TABLE key_rotations (
    org TEXT PRIMARY KEY REFERENCES organizations (id),
    -- The version of the new key.
    version BIGINT NOT NULL,
    -- Whether the secrets themselves are sealed anew, and the last credential for which that was done.
    anew BIGINT NOT NULL,
    reached TEXT NOT NULL
);

-- A key of an organization does not go while a data key rests under it.
CREATE TABLE data_keys_2 (
    org TEXT NOT NULL,
    credential TEXT NOT NULL,
    version BIGINT NOT NULL,
    key_version BIGINT NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (org, credential),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE,
    FOREIGN KEY (org, key_version) REFERENCES organization_keys (org, version)
);
INSERT INTO data_keys_2 (org, credential, version, key_version, wrapped)
    SELECT org, credential, version, key_version, wrapped FROM data_keys;
DROP TABLE data_keys;
ALTER TABLE data_keys_2 RENAME TO data_keys;
CREATE INDEX data_keys_key ON data_keys (org, key_version);
