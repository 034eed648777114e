let lanyard_other_completer = $env.config.completions?.external?.completer?
$env.config = ($env.config | upsert completions.external.enable true | upsert completions.external.completer {
    {|spans: list<string>|
        if ($spans.0? | default '' | path parse | get stem) == 'lanyard' {
            with-env { LANYARD_COMPLETE: 'nushell' } { ^lanyard -- ...$spans } | from json
        } else if $lanyard_other_completer != null {
            do $lanyard_other_completer $spans
        }
    }
})
