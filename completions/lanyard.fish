complete --keep-order --exclusive --command lanyard --arguments "(LANYARD_COMPLETE=fish lanyard -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
