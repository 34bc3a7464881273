# SPDX-License-Identifier: MIT
#
# Completion of multinode for fish. The options are held to --help by tests/integration/options.test.

complete -c multinode -f

complete -c multinode -n __fish_use_subcommand -a run -d 'Start a program on its ranks'
complete -c multinode -n __fish_use_subcommand -a serve -d 'Start a runtime without a program'
complete -c multinode -n __fish_use_subcommand -a submit -d 'Put a program into the queue of Slurm'
complete -c multinode -n __fish_use_subcommand -a start -d 'Start a job in a running runtime'
complete -c multinode -n __fish_use_subcommand -a exec -d 'Run any program as a job of a running runtime'
complete -c multinode -n __fish_use_subcommand -a wait -d 'Wait until jobs have ended'
complete -c multinode -n __fish_use_subcommand -a watch -d 'Print what a job yields as it comes'
complete -c multinode -n __fish_use_subcommand -a cancel -d 'Cancel jobs'
complete -c multinode -n __fish_use_subcommand -a remove -d 'Remove jobs'
complete -c multinode -n __fish_use_subcommand -a logs -d 'Print what a job has written'
complete -c multinode -n __fish_use_subcommand -a explain -d 'Say why a job waits'
complete -c multinode -n __fish_use_subcommand -a locks -d 'List the locks that are held'
complete -c multinode -n __fish_use_subcommand -a nodes -d 'List the nodes of a running runtime'
complete -c multinode -n __fish_use_subcommand -a top -d 'Show a running runtime from second to second'
complete -c multinode -n __fish_use_subcommand -a drain -d 'End a running runtime'
complete -c multinode -n __fish_use_subcommand -a shutdown -d 'End a running runtime at once'
complete -c multinode -n __fish_use_subcommand -a list -d 'List the jobs of a store'
complete -c multinode -n __fish_use_subcommand -a get -d 'Show a job of a store'
complete -c multinode -n __fish_use_subcommand -a result -d 'Print the result of a job'
complete -c multinode -n __fish_use_subcommand -a check -d 'Check whether a store is sound'
complete -c multinode -n __fish_use_subcommand -a compact -d 'Make a store as small as it can be'
complete -c multinode -n __fish_use_subcommand -a yield -d 'Publish a result from within a program of exec'
complete -c multinode -n __fish_use_subcommand -a progress -d 'Tell how far a program of exec is'
complete -c multinode -n __fish_use_subcommand -a cancelled -d 'Ask whether a program of exec is to stop'
complete -c multinode -n __fish_use_subcommand -a version -d 'Print the version'
complete -c multinode -n __fish_use_subcommand -a help -d 'Explain a verb'
complete -c multinode -n __fish_use_subcommand -s h -l help -d 'Print help'
complete -c multinode -n __fish_use_subcommand -s V -l version -d 'Print the version'

complete -c multinode -n '__fish_seen_subcommand_from run' -s n -l ranks -x -d 'MPI ranks'
complete -c multinode -n '__fish_seen_subcommand_from run' -s s -l store -r -F -d 'HDF5 file that keeps the jobs'
complete -c multinode -n '__fish_seen_subcommand_from run' -l durability -x -a 'fsync flush memory' -d 'When a job counts as kept'
complete -c multinode -n '__fish_seen_subcommand_from run' -l snapshot -x -d 'How far the HDF5 file may be behind'
complete -c multinode -n '__fish_seen_subcommand_from run' -l cpus -x -d 'Cores that a node offers'
complete -c multinode -n '__fish_seen_subcommand_from run' -l memory -x -d 'Memory that a node offers'
complete -c multinode -n '__fish_seen_subcommand_from run' -l grace -x -d 'Seconds that jobs have to stop'
complete -c multinode -n '__fish_seen_subcommand_from run' -l walltime -x -d 'Time that the run has'
complete -c multinode -n '__fish_seen_subcommand_from run' -l heartbeat -x -d 'Seconds of silence after which a worker is lost'
complete -c multinode -n '__fish_seen_subcommand_from run' -l listen -x -d 'Where verbs on other nodes reach the run'
complete -c multinode -n '__fish_seen_subcommand_from run' -l lead -x -d 'Seconds before its end at which jobs are asked to stop'
complete -c multinode -n '__fish_seen_subcommand_from run' -l host -x -a '(__fish_print_hostnames)' -d 'Hosts to run on'
complete -c multinode -n '__fish_seen_subcommand_from run' -l hostfile -r -F -d 'File of hosts'
complete -c multinode -n '__fish_seen_subcommand_from run' -l restart -d 'Start it again from the store when it crashes'
complete -c multinode -n '__fish_seen_subcommand_from run' -s q -l quiet -d 'Do not tell when jobs are asked to stop'
complete -c multinode -n '__fish_seen_subcommand_from run' -s v -l verbose -d 'Show all that Open MPI says'
complete -c multinode -n '__fish_seen_subcommand_from run' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from run' -F

complete -c multinode -n '__fish_seen_subcommand_from serve' -s n -l ranks -x -d 'MPI ranks'
complete -c multinode -n '__fish_seen_subcommand_from serve' -s s -l store -r -F -d 'HDF5 file that keeps the jobs'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l durability -x -a 'fsync flush memory' -d 'When a job counts as kept'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l snapshot -x -d 'How far the HDF5 file may be behind'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l cpus -x -d 'Cores that a node offers'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l memory -x -d 'Memory that a node offers'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l grace -x -d 'Seconds that jobs have to stop'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l walltime -x -d 'Time that the run has'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l heartbeat -x -d 'Seconds of silence after which a worker is lost'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l listen -x -d 'Where verbs on other nodes reach the run'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l lead -x -d 'Seconds before its end at which jobs are asked to stop'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l host -x -a '(__fish_print_hostnames)' -d 'Hosts to run on'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l hostfile -r -F -d 'File of hosts'
complete -c multinode -n '__fish_seen_subcommand_from serve' -l restart -d 'Start it again from the store when it crashes'
complete -c multinode -n '__fish_seen_subcommand_from serve' -s q -l quiet -d 'Do not tell when jobs are asked to stop'
complete -c multinode -n '__fish_seen_subcommand_from serve' -s v -l verbose -d 'Show all that Open MPI says'
complete -c multinode -n '__fish_seen_subcommand_from serve' -s h -l help -d 'Print help'

# A column of the 1,000 newest jobs of the store that the line names, or of the default one.
function __multinode_column
    set -l store
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case -s --store
                set -q words[(math $i + 1)]; and set store -s $words[(math $i + 1)]
            case '--store=*'
                set store -s (string replace -- --store= '' $words[$i])
        end
    end
    multinode list $store -n 1000 --format $argv[1] 2>/dev/null | sort -u
end

function __multinode_ids
    echo last
    __multinode_column id
end

complete -c multinode -n '__fish_seen_subcommand_from submit' -s s -l store -r -F -d 'HDF5 file that keeps the jobs'
complete -c multinode -n '__fish_seen_subcommand_from submit' -l campaign -d 'Put it back into the queue until all is done'
complete -c multinode -n '__fish_seen_subcommand_from submit' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from submit' -F

complete -c multinode -n '__fish_seen_subcommand_from start' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from start' -s i -l input -r -F -d 'What the job is given: this text; with @FILE the bytes of a file; with - those of standard input'
complete -c multinode -n '__fish_seen_subcommand_from start' -l lock -x -d 'Hold this lock until it has ended'
complete -c multinode -n '__fish_seen_subcommand_from start' -l key -x -d 'The callers own name for it: a second start with it gives the id of the first'
complete -c multinode -n '__fish_seen_subcommand_from start' -s t -l tag -x -d 'A text to find it by'
complete -c multinode -n '__fish_seen_subcommand_from start' -l priority -x -d 'Added to the declared priority'
complete -c multinode -n '__fish_seen_subcommand_from start' -l timeout -x -d 'Time that an attempt may take'
complete -c multinode -n '__fish_seen_subcommand_from start' -l cpu -x -d 'Cores, or a share of one'
complete -c multinode -n '__fish_seen_subcommand_from start' -l memory -x -d 'Memory, such as 4GiB'
complete -c multinode -n '__fish_seen_subcommand_from start' -l gpus -x -d 'GPUs'
complete -c multinode -n '__fish_seen_subcommand_from start' -s w -l wait -d 'Wait until it has ended'
complete -c multinode -n '__fish_seen_subcommand_from start' -l json -d 'Print one JSON object with the member id'
complete -c multinode -n '__fish_seen_subcommand_from start' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from start' -a '(__multinode_column job)'

complete -c multinode -n '__fish_seen_subcommand_from exec' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l lock -x -d 'Hold this lock until it has ended'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l key -x -d 'The callers own name for it'
complete -c multinode -n '__fish_seen_subcommand_from exec' -s t -l tag -x -d 'A text to find it by'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l memory -x -d 'Memory that it may have'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l priority -x -d 'Larger goes first'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l timeout -x -d 'Time that an attempt may take'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l cpu -x -d 'Cores, or a share of one'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l grace -x -d 'Time from SIGTERM to SIGKILL of a cancel'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l gpus -x -d 'GPUs that it has to itself'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l retries -x -d 'Further attempts after one that failed'
complete -c multinode -n '__fish_seen_subcommand_from exec' -s i -l input -r -F -d 'Its standard input, a text, @FILE or -'
complete -c multinode -n '__fish_seen_subcommand_from exec' -s e -l env -x -d 'One more variable in its environment'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l inherit -d 'Its environment is that of the runtime'
complete -c multinode -n '__fish_seen_subcommand_from exec' -s C -l chdir -r -F -d 'Its working directory'
complete -c multinode -n '__fish_seen_subcommand_from exec' -s a -l array -x -d 'A job for each number'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l each -r -F -d 'A job for each line of a file'
complete -c multinode -n '__fish_seen_subcommand_from exec' -s w -l wait -d 'Wait until all have ended'
complete -c multinode -n '__fish_seen_subcommand_from exec' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from exec' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from exec' -F

complete -c multinode -n '__fish_seen_subcommand_from wait' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from wait' -l timeout -x -d 'Wait no longer than this'
complete -c multinode -n '__fish_seen_subcommand_from wait' -s q -l quiet -d 'Print errors only'
complete -c multinode -n '__fish_seen_subcommand_from wait' -l json -d 'Print one JSON object'
complete -c multinode -n '__fish_seen_subcommand_from wait' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from wait' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from watch' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from watch' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from watch' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from watch' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from cancel' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from cancel' -l grace -x -d 'Time to clean up, instead of the jobs own; 0 kills at once'
complete -c multinode -n '__fish_seen_subcommand_from cancel' -l json -d 'Print one JSON object'
complete -c multinode -n '__fish_seen_subcommand_from cancel' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from cancel' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from remove' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from remove' -l json -d 'Print one JSON object'
complete -c multinode -n '__fish_seen_subcommand_from remove' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from remove' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from logs' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from logs' -s f -l follow -d 'Go on until the job has ended'
complete -c multinode -n '__fish_seen_subcommand_from logs' -l json -d 'Print one JSON object'
complete -c multinode -n '__fish_seen_subcommand_from logs' -l attempt -x -d 'Of this attempt, from 1; else the latest'
complete -c multinode -n '__fish_seen_subcommand_from logs' -l stderr -d 'Standard error, instead of standard output'
complete -c multinode -n '__fish_seen_subcommand_from logs' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from logs' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from explain' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from explain' -l json -d 'Print one JSON object with the members id and why'
complete -c multinode -n '__fish_seen_subcommand_from explain' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from explain' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from locks' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from locks' -l json -d 'Print one JSON object'
complete -c multinode -n '__fish_seen_subcommand_from locks' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from nodes' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from nodes' -l json -d 'Print one JSON object'
complete -c multinode -n '__fish_seen_subcommand_from nodes' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from top' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from top' -s i -l interval -x -d 'Time between two looks'
complete -c multinode -n '__fish_seen_subcommand_from top' -l once -d 'Print one frame as text'
complete -c multinode -n '__fish_seen_subcommand_from top' -l json -d 'Print one JSON object'
complete -c multinode -n '__fish_seen_subcommand_from top' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from drain' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from drain' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from shutdown' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from shutdown' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from list' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from list' -s j -l job -x -a '(__multinode_column job)' -d 'Jobs of this job function'
complete -c multinode -n '__fish_seen_subcommand_from list' -l status -x -a 'active pending running succeeded failed cancelling cancelled' -d 'Jobs with one of these'
complete -c multinode -n '__fish_seen_subcommand_from list' -l lock -x -d 'Jobs that hold this lock or held it'
complete -c multinode -n '__fish_seen_subcommand_from list' -s t -l tag -x -d 'Jobs with this tag'
complete -c multinode -n '__fish_seen_subcommand_from list' -s n -l limit -x -d 'So many of the newest'
complete -c multinode -n '__fish_seen_subcommand_from list' -l format -x -a 'id job status reason error attempts lock tag key created started ended progress message yields host rank cpus cpu_time peak_memory' -d 'Columns with tabs between'
complete -c multinode -n '__fish_seen_subcommand_from list' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from list' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from get' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from get' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from get' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from get' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from result' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from result' -s o -l output -r -F -d 'Write the bytes to a file'
complete -c multinode -n '__fish_seen_subcommand_from result' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from result' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from result' -a '(__multinode_ids)'

complete -c multinode -n '__fish_seen_subcommand_from check' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from check' -s q -l quiet -d 'Print what is wrong only'
complete -c multinode -n '__fish_seen_subcommand_from check' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from check' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from check' -F

complete -c multinode -n '__fish_seen_subcommand_from compact' -s s -l store -r -F -d 'HDF5 file that has the jobs'
complete -c multinode -n '__fish_seen_subcommand_from compact' -l inline -d 'Bring large values into the file'
complete -c multinode -n '__fish_seen_subcommand_from compact' -s q -l quiet -d 'Print errors only'
complete -c multinode -n '__fish_seen_subcommand_from compact' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from compact' -F

complete -c multinode -n '__fish_seen_subcommand_from yield' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from progress' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from cancelled' -s h -l help -d 'Print help'
complete -c multinode -n '__fish_seen_subcommand_from yield' -F

complete -c multinode -n '__fish_seen_subcommand_from version' -l json -d 'Print JSON'
complete -c multinode -n '__fish_seen_subcommand_from version' -s h -l help -d 'Print help'

complete -c multinode -n '__fish_seen_subcommand_from help' -a 'run serve submit start exec wait watch cancel remove logs explain locks nodes top drain shutdown list get result check compact yield progress cancelled version help'
complete -c multinode -n '__fish_seen_subcommand_from help' -s h -l help -d 'Print help'
