-- Whom an invitation is for: a login, or an address that an issuer vouches for. Those that were made for whoever has the
-- link are withdrawn; whoever made them makes them anew.
ALTER TABLE member_invitations ADD COLUMN whom TEXT NOT NULL DEFAULT '';
DELETE FROM member_invitations WHERE spent IS NULL;
