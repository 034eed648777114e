-- The version of the server's own key under which a key is wrapped, so that it does not go before. None for what an earlier
-- version of the program wrapped under the master key itself: the next start wraps that anew.
ALTER TABLE organization_keys ADD COLUMN own_version BIGINT REFERENCES server_keys (version);
ALTER TABLE audit_keys ADD COLUMN own_version BIGINT REFERENCES server_keys (version);
ALTER TABLE server_key_remains ADD COLUMN own_version BIGINT REFERENCES server_keys (version);
