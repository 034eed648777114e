-- What whoever has shown half of who they are is about to accept.
ALTER TABLE half_sessions ADD COLUMN invitation TEXT;
