"""Typer commands, one call each; the only place that prints.

The program:
    main          the entry point
    program       the commands, and what becomes of errors
    process       this process: who it is, and what Ctrl-C does
    options       the decorator that makes a command, and its help page
    settings      the settings: flags, variables, the configuration file
    opening       from flags to a connection and the first line
    folders       the folders of migrations and seeds
    running       a job: planned, shown, asked for, run
    render        results on stdout, everything else on stderr
    feed          progress

The commands:
    migrating     up, down, plan
    planned       what plan and --dry-run print
    inspecting    status, verify, show, diff
    mending       stamp, repair, abort, clean, unlock
    adopting      adopt
    creating      new
    seeding       seed
    seed_modules  seed modules, and their options
    loading       parts of a load, by several processes
    report        seed --report
    serving       server
    manual        help
"""
