set edit:completion:arg-completer[lanyard] = { |@words|
    var index = (count $words)
    set index = (- $index 1)

    put (env _CLAP_IFS="\n" _CLAP_COMPLETE_INDEX=(to-string $index) LANYARD_COMPLETE="elvish" lanyard -- $@words) | to-lines
}
