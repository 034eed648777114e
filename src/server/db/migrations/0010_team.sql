-- Projects of an organization. A credential's project is the name of one of them; a name is unique however it is written.
CREATE TABLE projects (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The name in lower case.
    folded TEXT NOT NULL,
    created BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX projects_name ON projects (org, folded);
CREATE INDEX projects_exact ON projects (org, name);
INSERT INTO projects (org, id, name, folded, created, revision)
    SELECT DISTINCT org, 'proj_' || project, project, lower(project), 0, 1 FROM credentials WHERE project <> '';

-- What a member is in one project, beyond what they are in the organization.
CREATE TABLE project_roles (
    org TEXT NOT NULL,
    project TEXT NOT NULL,
    person TEXT NOT NULL,
    role TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (org, project, person),
    FOREIGN KEY (org, project) REFERENCES projects (org, id) ON DELETE CASCADE,
    FOREIGN KEY (org, person) REFERENCES members (org, person) ON DELETE CASCADE
);
CREATE INDEX project_roles_person ON project_roles (org, person);

-- Links that make a member: one use, seven days.
CREATE TABLE member_invitations (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    role TEXT NOT NULL,
    note TEXT NOT NULL,
    -- Who invites. When they may not do so any more, the link is void.
    inviter TEXT NOT NULL REFERENCES people (id),
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    spent BIGINT,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX member_invitations_id ON member_invitations (id);

-- What works with a list of credentials.
CREATE TABLE workspaces (
    org TEXT NOT NULL REFERENCES organizations (id),
    id TEXT NOT NULL,
    -- The identifier of a project, or empty for the whole organization's.
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    folded TEXT NOT NULL,
    created BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE UNIQUE INDEX workspaces_name ON workspaces (org, project, folded);

CREATE TABLE workspace_credentials (
    org TEXT NOT NULL,
    workspace TEXT NOT NULL,
    credential TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (org, workspace, credential),
    FOREIGN KEY (org, workspace) REFERENCES workspaces (org, id) ON DELETE CASCADE,
    FOREIGN KEY (org, credential) REFERENCES credentials (org, id) ON DELETE CASCADE
);
CREATE INDEX workspace_credentials_credential ON workspace_credentials (org, credential);
