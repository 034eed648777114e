-- Registries of charts. Whatever stands in one is shown, and nothing of it is believed.
CREATE TABLE registries (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    -- The identifier of a project, or empty for the whole organization's.
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    -- helm-http, oci
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    -- The repositories that are looked at; an empty list for all of them.
    repositories TEXT NOT NULL,
    credential TEXT,
    created BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    -- When its charts were last asked for, and what came of it: a word, and a sentence of the program's own.
    tried BIGINT,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- When its charts were last listed in whole, and how many they were.
    synced BIGINT,
    charts BIGINT NOT NULL,
    PRIMARY KEY (org, id),
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id)
);
CREATE UNIQUE INDEX registries_name ON registries (org, project, folded);
CREATE INDEX registries_credential ON registries (org, credential);

-- The charts of each registry as they were when it was last listed in whole.
CREATE TABLE registry_charts (
    org TEXT NOT NULL,
    registry TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    newest TEXT NOT NULL,
    -- The newest first.
    versions TEXT NOT NULL,
    PRIMARY KEY (org, registry, name),
    FOREIGN KEY (org, registry) REFERENCES registries (org, id) ON DELETE CASCADE
);
