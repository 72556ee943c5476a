"""The launcher: starts the processes of a job, watches them, and owns their end.

Read in this order: main (the commands), run (the story of one job), run_directory (the files it
works with), processes (children), supervisor (who died, who was asked to stop), failure (what is
said about it), display (what is shown meanwhile), trace (what each step did when, for viewers). It
decides nothing about training: it reads the effective configuration, status and results from the run
directory.
"""
