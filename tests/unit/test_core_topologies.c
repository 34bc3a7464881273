/* SPDX-License-Identifier: MIT
 *
 * Placement on the topologies of real machines, found by machine/ from what hwloc makes of a description or an XML file.
 * Random requests come and go, and each placement is held against a model that knows the offers and the actions only: no core
 * twice; within one L3, NUMA node or package where a single one had room on any node; of those the one with the fewest free
 * cores. The seed is printed; MULTINODE_TEST_SEED repeats a run.
 */
#include "core_world.h"

#include "machine/machine.h"

#include <limits.h>
#include <time.h>

#define NODES 32
#define TASKS 2048
#define LEVELS 3 /* L3, NUMA node, package */
#define NOBODY UINT64_MAX

/* How many cores, L3s, NUMA nodes and packages it offers. */
typedef struct topology {
    const char *name, *description; /* the latter may be a file of tests/topologies */
    uint32_t cores, groups[LEVELS];
    const char *summary;
} topology_t;

static const topology_t topologies[] = {
    {"one core", "core:1 pu:1", 1, {1, 1, 1}, "1 package, 1 NUMA node, 1 core, 1 PU"},
    {"two cores", "core:2 pu:2", 2, {1, 1, 1}, "1 package, 1 NUMA node, 2 cores, 4 PUs"},
    {"two sockets of 64",
     "package:2 numa:1 l3:1 core:64 pu:2",
     128,
     {2, 2, 2},
     "2 packages, 2 NUMA nodes, 2 L3s, 128 cores, 256 PUs"},
    {"8 NUMA nodes",
     "package:2 numa:4 l3:1 core:8 pu:2",
     64,
     {8, 8, 2},
     "2 packages, 8 NUMA nodes, 8 L3s, 64 cores, 128 PUs"},
    {"sub-NUMA clusters",
     "package:2 numa:2 l3:2 core:6 pu:2",
     48,
     {8, 4, 2},
     "2 packages, 4 NUMA nodes, 8 L3s, 48 cores, 96 PUs"},
    {"8 L3s a socket",
     "package:2 numa:1 l3:8 core:8 pu:2",
     128,
     {16, 2, 2},
     "2 packages, 2 NUMA nodes, 16 L3s, 128 cores, 256 PUs"},
    {"an L3 of two NUMA nodes",
     "package:2 l3:1 numa:2 core:8 pu:1",
     32,
     {4, 4, 2},
     "2 packages, 4 NUMA nodes, 2 L3s, 32 cores, 32 PUs"},
    {"fast and slow cores",
     "pe-cores.xml",
     24,
     {1, 1, 1},
     "1 package, 1 NUMA node, 1 L3, 24 cores, 32 PUs"},
    {"a cpuset with holes",
     "holes.xml",
     17,
     {4, 2, 2},
     "2 packages, 2 NUMA nodes, 4 L3s, 17 cores, 32 PUs"},
    {"memory without cores",
     "memory-only.xml",
     16,
     {2, 2, 2},
     "2 packages, 2 NUMA nodes, 2 L3s, 16 cores, 16 PUs"},
    {"no L3",
     "package:2 numa:2 core:8 pu:2",
     32,
     {4, 4, 2},
     "2 packages, 4 NUMA nodes, 32 cores, 64 PUs"},
    {"dies",
     "package:1 die:4 core:8 pu:2",
     32,
     {4, 1, 1},
     "1 package, 1 NUMA node, 32 cores, 64 PUs"},
    {"80 cores, flat",
     "package:1 core:80 pu:1",
     80,
     {1, 1, 1},
     "1 package, 1 NUMA node, 80 cores, 80 PUs"},
    {"four sockets of 28",
     "package:4 numa:1 l3:1 core:28 pu:2",
     112,
     {4, 4, 4},
     "4 packages, 4 NUMA nodes, 4 L3s, 112 cores, 224 PUs"},
};
#define TOPOLOGIES (sizeof topologies / sizeof topologies[0])

static uint64_t seed, random_state;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 20) % below);
}

static mni_machine_t *open_topology(const char *description)
{
    char path[PATH_MAX];
    size_t length = strlen(description);
    const char *top = getenv("top_srcdir");
    mni_machine_options_t options = {.synthetic = description};
    mni_machine_t *machine = NULL;

    if (length > 4 && strcmp(description + length - 4, ".xml") == 0) {
        snprintf(path, sizeof path, "%s/tests/topologies/%s", top ? top : ".", description);
        options.synthetic = path;
    }
    if (mni_machine_open(&options, &machine) < 0)
        fail_msg("%s: %s", description, mn_error_message());
    return machine;
}

/* --- the model -------------------------------------------------------------------------- */

typedef struct model_node {
    uint32_t cores, group[LEVELS][MNI_MAX_CORES]; /* of each core its number on each level */
    uint16_t used[MNI_MAX_CORES];                 /* millicores */
    uint64_t memory;                              /* free */
} model_node_t;

typedef struct model_task {
    uint64_t id, memory, ends;
    uint32_t node, share;
    mni_cpus_t cpus;
} model_task_t;

static world_t *world;
static model_node_t nodes[NODES];
static uint32_t node_count;
static model_task_t tasks[TASKS];
static size_t task_count;
static mni_job_t *watched; /* NULL: no one; begun: when it began */
static uint64_t begun;

static uint32_t free_in(const model_node_t *node, unsigned level, uint32_t group)
{
    uint32_t count = 0;

    for (uint32_t cpu = 0; cpu < node->cores; cpu++)
        count += node->used[cpu] == 0 && (level == LEVELS || node->group[level][cpu] == group);
    return count;
}

static uint32_t free_all(const model_node_t *node)
{
    return free_in(node, LEVELS, 0);
}

/* The most free cores of one group; `least`: the fewest of one that has so many. */
static uint32_t roomiest(const model_node_t *node, unsigned level, uint32_t count, uint32_t *least)
{
    uint32_t most = 0;

    *least = UINT32_MAX;
    for (uint32_t cpu = 0; cpu < node->cores; cpu++) {
        uint32_t has = free_in(node, level, node->group[level][cpu]);
        most = has > most ? has : most;
        if (has >= count && has < *least)
            *least = has;
    }
    return most;
}

/* Whether all the cores are in one group, and how many are free there. */
static bool in_one(const model_node_t *node, const mni_cpus_t *cpus, unsigned level, uint32_t *has)
{
    uint32_t first = 0;

    while (!mni_cpus_has(cpus, first))
        first++;
    for (uint32_t cpu = first; cpu < node->cores; cpu++)
        if (mni_cpus_has(cpus, cpu) && node->group[level][cpu] != node->group[level][first])
            return false;
    *has = free_in(node, level, node->group[level][first]);
    return true;
}

/* Whole cores, before they are taken: on the innermost level on which any node has room in one group, they are in one; of the
 * nodes that have it this one's roomiest is the smallest, and of its groups it is that with the fewest free. */
static void check_compact(const mni_action_t *action, uint32_t count, uint64_t memory)
{
    const model_node_t *node = &nodes[action->node];
    uint32_t least, here, has, other_least;

    for (unsigned level = 0; level < LEVELS; level++) {
        bool anywhere = false;
        uint32_t most = roomiest(node, level, count, &least);
        for (uint32_t i = 0; i < node_count; i++) {
            here = nodes[i].memory >= memory ? roomiest(&nodes[i], level, count, &other_least) : 0;
            if (here < count)
                continue;
            anywhere = true;
            if (most < count || here < most ||
                (here == most && free_all(&nodes[i]) < free_all(node)))
                fail_msg("%u cores on node %u, on level %u node %u is a better place", count,
                         action->node, level, i);
        }
        if (!anywhere)
            continue;
        if (!in_one(node, &action->cpus, level, &has))
            fail_msg("%u cores are not in one group of level %u, of which one had room: %s", count,
                     level, cpus_text(action));
        if (has != least)
            fail_msg("%u cores in a group with %u free, another has %u", count, has, least);
        return;
    }
    assert_true(free_all(node) >= count);
}

/* A share of a core goes where shares are already, if it fits there. */
static void check_share(const mni_action_t *action, uint32_t share, uint64_t memory)
{
    uint32_t cpu = 0;

    while (!mni_cpus_has(&action->cpus, cpu))
        cpu++;
    if (nodes[action->node].used[cpu] > 0)
        return;
    for (uint32_t i = 0; i < node_count; i++)
        for (uint32_t k = 0; nodes[i].memory >= memory && k < nodes[i].cores; k++)
            if (nodes[i].used[k] > 0 && nodes[i].used[k] + share <= 1000)
                fail_msg("a share opens a core, and core %u of node %u has room", k, i);
    check_compact(action, 1, memory);
}

static void visit(const mni_action_t *action)
{
    if (action->kind != MNI_RUN)
        return;
    const mni_need_t *wanted = &action->job->need;
    uint32_t count = (wanted->millicores + 999) / 1000;
    model_node_t *node = &nodes[action->node];
    assert_true(action->node < node_count && task_count < TASKS);
    assert_int_equal(mni_cpus_count(&action->cpus), count);
    model_task_t *task = &tasks[task_count++];
    *task = (model_task_t){.id = action->task,
                           .memory = wanted->memory,
                           .ends = world->now + (1 + draw(20000)) * (MNI_SECOND / 1000),
                           .node = action->node,
                           .share = wanted->millicores < 1000 ? wanted->millicores : 1000,
                           .cpus = action->cpus};
    if (count > 0 && task->share < 1000)
        check_share(action, task->share, wanted->memory);
    else if (count > 0 && !watched) /* where a node is kept for one other rules count */
        check_compact(action, count, wanted->memory);
    for (uint32_t cpu = 0; cpu < MNI_MAX_CORES; cpu++)
        if (mni_cpus_has(&action->cpus, cpu)) {
            assert_true(cpu < node->cores);
            node->used[cpu] = (uint16_t)(node->used[cpu] + task->share);
            if (node->used[cpu] > 1000)
                fail_msg("core %u of node %u is granted twice", cpu, action->node);
        }
    assert_true(node->memory >= wanted->memory);
    node->memory -= wanted->memory;
    if (action->job == watched)
        begun = world->now;
}

static void end_task(size_t number)
{
    model_task_t task = tasks[number];
    model_node_t *node = &nodes[task.node];
    mni_outcome_t outcome = {.reason = MN_REASON_RETURNED};

    tasks[number] = tasks[--task_count];
    for (uint32_t cpu = 0; cpu < node->cores; cpu++)
        if (mni_cpus_has(&task.cpus, cpu))
            node->used[cpu] = (uint16_t)(node->used[cpu] - task.share);
    node->memory += task.memory;
    mni_core_task_ended(world->core, world->now, task.id, &outcome);
    world_take(world);
}

/* Numbers the groups of a level: the same number for cores whose places agree there and further out. */
static uint32_t number_groups(model_node_t *node, const mni_core_place_t *place, unsigned level)
{
    uint32_t count = 0;

    for (uint32_t cpu = 0; cpu < node->cores; cpu++) {
        uint32_t like = 0;
        while (like < cpu && (place[like].package != place[cpu].package ||
                              (level < 2 && place[like].numa != place[cpu].numa) ||
                              (level < 1 && place[like].l3 != place[cpu].l3)))
            like++;
        node->group[level][cpu] = like < cpu ? node->group[level][like] : count++;
    }
    return count;
}

static void add_node(const topology_t *topology, uint64_t memory)
{
    mni_machine_t *machine = open_topology(topology->description);
    mni_node_offer_t offer = *mni_machine_offer(machine);
    model_node_t *node = &nodes[node_count];
    uint32_t number;

    assert_true(node_count < NODES);
    assert_int_equal(offer.cores, topology->cores);
    assert_string_equal(mni_machine_summary(machine), topology->summary);
    if (memory > 0)
        offer.memory = memory;
    *node = (model_node_t){.cores = offer.cores, .memory = offer.memory};
    for (unsigned level = 0; level < LEVELS; level++)
        assert_int_equal(number_groups(node, offer.place, level), topology->groups[level]);
    assert_int_equal(mni_core_node_add(world->core, &offer, &number), 0);
    assert_int_equal(number, node_count++);
    assert_int_equal(mni_core_worker_add(world->core, world->ranks++, number), 0);
    mni_machine_close(machine);
}

static void begin_world(const char *name)
{
    world = world_create();
    world->visit = visit;
    node_count = 0;
    task_count = 0;
    watched = NULL;
    random_state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    printf("%s, seed %llu\n", name, (unsigned long long)seed);
}

static void end_world(void)
{
    mni_node_use_t use;

    while (task_count > 0)
        end_task(draw((uint32_t)task_count));
    for (uint32_t i = 0; i < node_count; i++) {
        assert_true(mni_core_node_use(world->core, i, &use));
        assert_int_equal(use.cores_free, nodes[i].cores);
        assert_int_equal(use.memory_used, 0);
        assert_int_equal(use.rank, 0);
        assert_non_null(strstr(use.topology, " core"));
    }
    assert_int_equal(mni_core_with_status(world->core, MN_PENDING), 0);
    world_destroy(world);
}

/* --- what is asked for ------------------------------------------------------------------ */

static void start_random(void)
{
    static const uint32_t shares[] = {100, 250, 500, 0};
    const model_node_t *node = &nodes[draw(node_count)];
    uint32_t most = draw(8) == 0 ? node->cores : (node->cores + 3) / 4;
    uint32_t millicores = draw(4) == 0 ? shares[draw(4)] : (1 + draw(most)) * 1000;
    mni_need_t wanted = need(millicores, draw(3) == 0 ? draw(8) * (GIB / 4) : 0);

    wanted.priority = draw(6) == 0 ? 1 : 0;
    start(world, draw(2) ? JOB : OTHER, wanted);
}

/* Between a queue that is empty and one of some tens. */
static void run_stream(uint32_t steps)
{
    uint32_t crowd = 1;

    for (uint32_t i = 0; i < steps; i++) {
        if (i % 50 == 0)
            crowd = draw(3) == 0 ? 1 : 2 + draw(3);
        world->now +=
            MNI_SECOND / 1000; /* all of it is over before a node would be kept for anyone */
        size_t pending = mni_core_with_status(world->core, MN_PENDING);
        if (pending < 40 && draw(crowd + 1) > 0 && task_count < TASKS / 2)
            start_random();
        else if (task_count > 0)
            end_task(draw((uint32_t)task_count));
    }
}

static void streams_on_each_topology(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOPOLOGIES; i++)
        for (uint32_t count = 1; count <= 3; count += 2) {
            begin_world(topologies[i].name);
            for (uint32_t k = 0; k < count; k++)
                add_node(&topologies[i], 4 * GIB);
            run_stream(600);
            end_world();
        }
}

static void a_stream_over_all_topologies_at_once(void **state)
{
    (void)state;
    begin_world("all topologies");
    for (size_t i = 0; i < 2 * TOPOLOGIES; i++)
        add_node(&topologies[i % TOPOLOGIES], (4 + i) * GIB);
    run_stream(2000);
    end_world();
}

/* Ends what is due first, when it is due. */
static void pass_time(void)
{
    size_t first = 0;

    for (size_t i = 1; i < task_count; i++)
        if (tasks[i].ends < tasks[first].ends)
            first = i;
    world->now = tasks[first].ends > world->now ? tasks[first].ends : world->now;
    mni_core_tick(world->core, world->now);
    world_take(world);
    end_task(first);
}

/* Small tasks of up to 20 s keep coming. After 30 s a node is kept; others that come first may use it for 30 s more, and in
 * another 20 s it is empty. */
static void a_large_request_is_not_starved(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOPOLOGIES; i++) {
        begin_world(topologies[i].name);
        add_node(&topologies[i], 4 * GIB);
        add_node(&topologies[i], 4 * GIB);
        for (uint32_t k = 0; k < 2 * topologies[i].cores + 4; k++)
            start(world, JOB, need(1000, 0));
        watched = start(world, OTHER, need(topologies[i].cores * 1000, 0));
        uint64_t since = world->now, until = since + 81 * MNI_SECOND;
        assert_int_equal(watched->status, MN_PENDING);
        for (begun = NOBODY; begun == NOBODY && world->now <= until;) {
            start(world, JOB, need(1000, 0));
            pass_time();
        }
        if (begun == NOBODY)
            fail_msg("%s: all cores of a node are not had in 81 s", topologies[i].name);
        end_world();
    }
}

/* --- by hand ---------------------------------------------------------------------------- */

/* Five moves to think about, and data to prepare, on two packages of 64 cores with 512 GiB. */
static void check_chess(const char *description, const char *const expected[6])
{
    mni_machine_t *machine = open_topology(description);
    world_t *w = world_create();
    uint32_t node;

    assert_int_equal(mni_machine_offer(machine)->cores, 128);
    assert_int_equal(mni_machine_offer(machine)->memory, 512 * GIB);
    assert_int_equal(mni_core_node_add(w->core, mni_machine_offer(machine), &node), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, node), 0);
    for (int i = 0; i < 6; i++) {
        mni_need_t wanted = i < 5 ? need(16000, 4 * GIB) : need(4000, 32 * GIB);
        start(w, i < 5 ? JOB : OTHER, wanted);
        assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), expected[i]);
    }
    world_destroy(w);
    mni_machine_close(machine);
}

static void chess_is_placed_as_a_person_would(void **state)
{
    (void)state;
    /* a NUMA node of two L3s for each move, the first package's first */
    check_chess("package:2 numa:4(memory=68719476736) l3:2 core:8 pu:2",
                (const char *const[]){"0-15", "16-31", "32-47", "48-63", "64-79", "80-83"});
    /* an L3 for each move; what is left of a package does not make one */
    check_chess("package:2 numa:1(memory=274877906944) l3:4 core:16 pu:2",
                (const char *const[]){"0-15", "16-31", "32-47", "48-63", "64-79", "80-83"});
    /* two whole L3s for each move */
    check_chess("package:2 numa:1(memory=274877906944) l3:8 core:8 pu:2",
                (const char *const[]){"0-15", "16-31", "32-47", "48-63", "64-79", "80-83"});
    /* an L3 as large as the package, no place but the packages */
    check_chess("package:2 numa:1(memory=274877906944) l3:1 core:64 pu:2",
                (const char *const[]){"0-15", "16-31", "32-47", "48-63", "64-79", "80-83"});
}

/* The same moves when others are there already: what is left of an L3 is used up by what fits there, and no move is torn. */
static void chess_beside_others(void **state)
{
    world_t *w = world_create();
    mni_machine_t *machine = open_topology("package:2 numa:4(memory=68719476736) l3:2 core:8 pu:2");
    static const struct {
        uint32_t cores;
        const char *expected;
    } moves[] = {{3, "0-2"},  {16, "16-31"}, {4, "3-6"},    {16, "32-47"}, {16, "48-63"},
                 {5, "8-12"}, {16, "64-79"}, {16, "80-95"}, {20, "96-115"}};
    uint32_t node;
    (void)state;
    assert_int_equal(mni_core_node_add(w->core, mni_machine_offer(machine), &node), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, node), 0);
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        start(w, JOB, need(moves[i].cores * 1000, GIB));
        assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), moves[i].expected);
    }
    world_destroy(w);
    mni_machine_close(machine);
}

/* Of two L3s with as many free cores the one in the package that has fewer left, so that the other stays whole. */
static void ties_go_where_less_is_left(void **state)
{
    world_t *w = world_create();
    mni_machine_t *machine = open_topology("package:2 numa:1 l3:2 core:4 pu:1");
    mni_job_t *fours[4];
    uint32_t node;
    (void)state;
    assert_int_equal(mni_core_node_add(w->core, mni_machine_offer(machine), &node), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, node), 0);
    for (int i = 0; i < 4; i++)
        fours[i] = start(w, JOB, need(4000, 0));
    for (int i = 0; i < 3; i++)
        ended(w, fours[i]->task, MN_REASON_RETURNED);
    start(w, JOB, need(4000, 0));
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "8-11");
    start(w, JOB, need(8000, 0));
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "0-7");
    world_destroy(w);
    mni_machine_close(machine);
}

/* A node on which it fits into an L3 comes before one on which it does not, though that one is fuller. */
static void whole_l3s_are_found_on_other_nodes(void **state)
{
    world_t *w = world_create();
    mni_machine_t *machine = open_topology("package:1 l3:2 core:4 pu:1");
    mni_job_t *ones[8];
    uint32_t a, b;
    (void)state;
    assert_int_equal(mni_core_node_add(w->core, mni_machine_offer(machine), &a), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, a), 0);
    for (int i = 0; i < 8; i++)
        ones[i] = start(w, JOB, need(1000, 0));
    assert_int_equal(mni_core_node_add(w->core, mni_machine_offer(machine), &b), 0);
    assert_int_equal(mni_core_worker_add(w->core, w->ranks++, b), 0);
    ended(w, ones[0]->task, MN_REASON_RETURNED);
    ended(w, ones[1]->task, MN_REASON_RETURNED);
    ended(w, ones[4]->task, MN_REASON_RETURNED);
    start(w, JOB, need(3000, 0));
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, b);
    start(w, JOB, need(2000, 0)); /* and this one fits into what is left of the first */
    assert_int_equal(action_of(w, MNI_RUN, 0)->node, a);
    assert_string_equal(cpus_text(action_of(w, MNI_RUN, 0)), "0-1");
    world_destroy(w);
    mni_machine_close(machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_on_each_topology),
        cmocka_unit_test(a_stream_over_all_topologies_at_once),
        cmocka_unit_test(a_large_request_is_not_starved),
        cmocka_unit_test(chess_is_placed_as_a_person_would),
        cmocka_unit_test(chess_beside_others),
        cmocka_unit_test(ties_go_where_less_is_left),
        cmocka_unit_test(whole_l3s_are_found_on_other_nodes),
    };
    const char *text = getenv("MULTINODE_TEST_SEED");
    seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
