-- Whether a statement is where it is to be besides this table: in the file, or in the machine's log. One that is to be
-- nowhere else is so from the beginning, and so is one of a server that knows nothing of this.
ALTER TABLE audit_checkpoints ADD COLUMN taken BIGINT NOT NULL DEFAULT 1;
CREATE INDEX audit_checkpoints_missed ON audit_checkpoints (org, sequence) WHERE taken = 0;
