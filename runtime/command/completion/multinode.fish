# SPDX-License-Identifier: MIT
#
# Completion of multinode for fish. The options are held to --help by tests/integration/options.test.

complete -c multinode -f

complete -c multinode -n __fish_use_subcommand -a run -d 'Start a program on its ranks'
complete -c multinode -n __fish_use_subcommand -a version -d 'Print the version'
complete -c multinode -n __fish_use_subcommand -a help -d 'Explain a verb'
complete -c multinode -n __fish_use_subcommand -s h -l help -d 'Print help'
complete -c multinode -n __fish_use_subcommand -s V -l version -d 'Print the version'

complete -c multinode -n '__fish_seen_subcommand_from run' -s n -l ranks -x -d 'MPI ranks'
complete -c multinode -n '__fish_seen_subcommand_from run' -s s -l store -r -F -d 'HDF5 file that keeps the jobs'
complete -c multinode -n '__fish_seen_subcommand_from run' -l durability -x -a 'fsync flush memory' -d 'When a job counts as kept'
complete -c multinode -n '__fish_seen_subcommand_from run' -l cpus -x -d 'Cores that a node offers'
complete -c multinode -n '__fish_seen_subcommand_from run' -l memory -x -d 'Memory that a node offers'
complete -c multinode -n '__fish_seen_subcommand_from run' -l grace -x -d 'Seconds that jobs have to stop'
complete -c multinode -n '__fish_seen_subcommand_from run' -l walltime -x -d 'Time that the run has'
complete -c multinode -n '__fish_seen_subcommand_from run' -l lead -x -d 'Seconds before its end at which jobs are asked to stop'
complete -c multinode -n '__fish_seen_subcommand_from run' -l host -x -a '(__fish_print_hostnames)' -d 'Hosts to run on'
complete -c multinode -n '__fish_seen_subcommand_from run' -l hostfile -r -F -d 'File of hosts'
complete -c multinode -n '__fish_seen_subcommand_from run' -s q -l quiet -d 'Do not tell when jobs are asked to stop'
complete -c multinode -n '__fish_seen_subcommand_from run' -s v -l verbose -d 'Show all that Open MPI says'
complete -c multinode -n '__fish_seen_subcommand_from run' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from run' -F

complete -c multinode -n '__fish_seen_subcommand_from version' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from version' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from help' -a 'run version help'
complete -c multinode -n '__fish_seen_subcommand_from help' -s h -l help -d 'Print help'
