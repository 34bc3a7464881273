/* SPDX-License-Identifier: MIT
 *
 * A property test: random events over random nodes, with simulated workers that answer. The core is
 * checked from inside after every event (mni_core_check()), and from outside by a model that knows
 * only the actions (core_model.h); every job ends when the workers answer. The seed is printed;
 * MULTINODE_TEST_SEED repeats a run, MULTINODE_TEST_ROUNDS makes it longer.
 */
#include "core_model.h"

static bool lines; /* whether workers run ahead */
static bool calm;  /* tasks seldom call and wait, so that lines last */

static void answer(void)
{
    world_take(world);
}

/* --- what the workers do --------------------------------------------------------------- */

/* Must come before the core is told: it may act on it at once. */
static void model_end(model_task_t *task)
{
    task->alive = false;
    task->awaits = NULL;
    if (task->opened) {
        demand_by_id(task->opened)->open = false;
        task->opened = 0;
    }
    if (task->own)
        job_of(task->job)->running--;
    if (task->demand)
        demand_by_id(task->demand)->slots--;
    close_ranks(task);
}

static void return_task(model_task_t *task)
{
    mni_job_t *job = task->job;
    uint32_t attempts = job->attempts;
    bool cancelled = job->status == MN_CANCELLING;
    model_end(task);
    mni_core_task_returned(world->core, world->now, task->id);
    if (!cancelled) /* and perhaps it began anew at once */
        assert_true(job->status == MN_PENDING ? job->attempts == attempts - 1
                                              : job->attempts == attempts);
    answer();
}

/* More for a line. */
static void follow_task(const model_task_t *task)
{
    uint32_t most = draw(4);
    bool may = task->own && !task->stop && !task->killed && !is_waiting(task) && !draining;
    int count = mni_core_follow(world->core, world->now, task->id, most);
    assert_true(count >= 0 && (uint32_t)count <= most && (may || count == 0));
    answer();
    for (size_t i = 0; i < world->count; i++)
        count -= world->actions[i].kind == MNI_RUN && world->actions[i].behind;
    assert_int_equal(count, 0);
}

static bool line_waits(const model_task_t *task)
{
    while (task->behind)
        task = task_by_id(task->behind);
    return is_waiting(task);
}

static void end_task(model_task_t *task, mn_reason_t reason)
{
    mni_outcome_t outcome = {.reason = reason,
                             .error = reason == MN_REASON_RETURNED ? NULL : "it broke"};
    model_end(task);
    mni_core_task_ended(world->core, world->now, task->id, &outcome);
    answer();
}

/* One that is not its turn yet. */
static void step_follower(model_task_t *task, bool winding_down)
{
    if (task->killed)
        draw(2) ? end_task(task, MN_REASON_KILLED) : return_task(task);
    else if (task->stop)
        draw(4) ? return_task(task) : end_task(task, MN_REASON_RETURNED);
    else if (line_waits(task) || draw(8) == 0)
        return_task(task);
    else if (draw(20) == 0)
        end_task(task, draw(2) ? MN_REASON_RETURNED : MN_REASON_ERROR);
    else if (!winding_down)
        follow_task(task);
}

static void close_model_demand(model_demand_t *of)
{
    model_task_t *caller = of->caller ? task_by_id(of->caller) : NULL;
    of->open = false;
    if (caller)
        caller->opened = 0;
    mni_core_demand_close(world->core, world->now, of->id);
    answer();
}

static mni_need_t random_need(bool small)
{
    static const uint32_t shares[] = {100, 250, 500, 0};
    mni_need_t wanted = need(0, 0);
    uint32_t node = draw(node_count);
    if (draw(3) == 0)
        wanted.millicores = shares[draw(4)];
    else
        wanted.millicores =
            1000 * (1 + draw(small || draw(3) ? (node_cores[node] + 3) / 4 : node_cores[node]));
    wanted.memory = draw(2) ? 0 : node_memory[node] / (1 + draw(small ? 8 : 4));
    if (node_gpus[node] > 0 && draw(3) == 0)
        wanted.gpus = 1 + draw(small ? 1 : node_gpus[node]);
    if (draw(6) == 0)
        wanted.max_concurrency = 1 + draw(3);
    wanted.max_retries = draw(3);
    wanted.priority = draw(4) == 0 ? (int32_t)draw(3) - 1 : 0;
    if (draw(5) == 0)
        wanted.timeout = 1 + draw(20);
    wanted.grace = draw(10) == 0 ? -1.0 : draw(20);
    return wanted;
}

static void open_model_demand(model_task_t *caller)
{
    mni_need_t wanted = random_need(true);
    uint32_t want = 1 + draw(4);
    if (demand_count == TASKS)
        return;
    model_demand_t *of = &demands[demand_count];
    *of = (model_demand_t){
        .id = demand_count + 1, .caller = caller ? caller->id : 0, .need = wanted, .open = true};
    of->items = 1 + draw(6);
    demand_count++;
    if (caller)
        caller->opened = of->id;
    int rc =
        mni_core_demand(world->core, world->now, of->id, of->caller, F + draw(3), &wanted, want);
    if (rc < 0) {
        of->open = false;
        if (caller)
            caller->opened = 0;
        assert_true(rc == MN_E_IMPOSSIBLE || (rc == MN_E_INTERRUPTED && draining));
    }
    answer();
}

/* One more job, or another like the last one. */
static void start_model_job(bool like_the_last)
{
    static mni_start_t last;
    mni_start_t wanted = {.id = world_id(world)};
    char lock[16];
    if (like_the_last) {
        wanted.declaration = last.declaration;
        wanted.need = last.need;
        wanted.need.timeout = draw(8) ? INFINITY : 20;
    } else {
        wanted.declaration = draw(2);
        wanted.need = random_need(draw(2));
    }
    last = wanted;
    mni_job_t *job = NULL;
    if (job_count == JOBS)
        return;
    if (draw(5) == 0) {
        snprintf(lock, sizeof lock, "lock-%u", draw(4));
        wanted.lock = lock;
    }
    if (task_count > 0 && draw(2)) {
        model_task_t *task = &tasks[draw((uint32_t)task_count)];
        if (task->alive && !task->stop && !task->killed) {
            wanted.parent = task->id;
            wanted.cancel_with_parent = draw(2);
        }
    }
    int rc = mni_core_start(world->core, world->now, &wanted, &job);
    if (rc == 0)
        jobs[job_count++] = (model_job_t){.job = job, .group = ++groups + JOBS};
    else
        assert_true(rc == MN_E_IMPOSSIBLE || rc == MN_E_LOCK_IN_USE ||
                    (rc == MN_E_INTERRUPTED && draining));
    answer();
}

static void wait_model(model_task_t *task)
{
    model_job_t *of = job_count > 0 ? &jobs[draw((uint32_t)job_count)] : NULL;
    if (!of || !of->job)
        return;
    /* Told first: the job may begin within the call. */
    uint32_t group = of->group, own = task->group;
    bool waits_really = !of->terminal;
    task->awaits = waits_really ? of->job : NULL;
    if (waits_really)
        merge_groups(group, own);
    int rc = mni_core_wait(world->core, world->now, task->id, &of->job->id);
    if (rc < 0) {
        assert_int_equal(rc, MN_E_DEADLOCK);
        task->awaits = NULL;
    }
    answer();
}

/* An item of a slot is done. */
static void finish_item(model_task_t *slot)
{
    model_demand_t *of = demand_by_id(slot->demand);
    if (of->items > 0)
        of->items--;
    if (of->open && of->items > 0 && draw(4) > 0)
        return; /* the next one */
    if (of->open && of->items == 0)
        mni_core_demand_want(world->core, world->now, of->id, 0);
    answer();
    model_end(slot);
    if (draw(8) == 0)
        mni_core_task_ended(
            world->core, world->now, slot->id,
            &(mni_outcome_t){.reason = MN_REASON_SIGNAL, .error = "killed by signal 11"});
    else
        mni_core_slot_release(world->core, world->now, slot->id);
    answer();
    if (of->open && of->items == 0 && of->slots == 0)
        close_model_demand(of);
}

/* One step of a task; `winding_down`: nothing new is begun. */
static void step_task(model_task_t *task, bool winding_down)
{
    static const mn_reason_t reasons[] = {MN_REASON_RETURNED, MN_REASON_RETURNED, MN_REASON_ERROR,
                                          MN_REASON_SIGNAL};
    if (task->behind) {
        step_follower(task, winding_down);
    } else if (lines && task->own && !winding_down && draw(3) == 0) {
        follow_task(task);
    } else if (lines && task->own && !is_waiting(task) && !winding_down && draw(40) == 0) {
        return_task(task); /* it came, and did not begin */
    } else if (task->killed) {
        end_task(task, MN_REASON_KILLED);
    } else if (task->stop) {
        if (!task->deaf || winding_down)
            end_task(task, draw(2) ? MN_REASON_RETURNED : MN_REASON_ERROR);
    } else if (task->opened) {
        model_demand_t *of = demand_by_id(task->opened);
        if (of->slots == 0 && (of->items == 0 || draw(20) == 0))
            close_model_demand(of);
        else if (draw(30) == 0)
            close_model_demand(of); /* with slots still out */
    } else if (task->awaits) {
        if (draw(20) == 0) {
            task->awaits = NULL;
            mni_core_wait(world->core, world->now, task->id, NULL);
            answer();
        }
    } else if (calm && draw(20) > 0) {
        task->own ? end_task(task, reasons[draw(4)]) : finish_item(task);
    } else if (!winding_down && task->depth < 8 && draw(3) == 0) {
        open_model_demand(task);
    } else if (!winding_down && draw(6) == 0) {
        wait_model(task);
    } else if (task->own) {
        end_task(task, reasons[draw(4)]);
    } else {
        finish_item(task);
    }
}

static void lose_or_add_worker(void)
{
    uint32_t rank = draw(rank_count), alive = 0;
    for (uint32_t i = 0; i < rank_count; i++)
        alive += rank_alive[i];
    if (!rank_alive[rank]) {
        rank_alive[rank] = true;
        assert_int_equal(mni_core_worker_add(world->core, rank, node_of[rank]), 0);
    } else if (alive > 1) {
        rank_alive[rank] = false;
        for (size_t i = 0; i < task_count; i++)
            if (tasks[i].alive && tasks[i].rank == rank)
                model_end(&tasks[i]);
        mni_core_worker_lost(world->core, world->now, rank);
    }
    answer();
}

static void step_driver(void)
{
    for (size_t i = 0; i < demand_count; i++)
        if (demands[i].open && demands[i].caller == 0 && demands[i].items == 0 &&
            demands[i].slots == 0)
            close_model_demand(&demands[i]);
}

static void step_job(void)
{
    model_job_t *of = job_count > 0 ? &jobs[draw((uint32_t)job_count)] : NULL;
    static const double graces[] = {-1, 0, 3, NAN};
    if (!of || !of->job)
        return;
    if (draw(3) > 0) {
        int rc = mni_core_cancel(world->core, world->now, of->job, graces[draw(4)]);
        assert_int_equal(rc, of->terminal ? 1 : 0);
    } else {
        assert_int_equal(mni_core_remove(world->core, world->now, of->job), 0);
    }
    answer();
}

static void step_time(void)
{
    uint64_t next = mni_core_next_time(world->core);
    world->now += draw(2) ? MNI_SECOND / 10 : 2 * MNI_SECOND;
    if (next != MNI_NEVER && next > world->now && draw(3) == 0)
        world->now = next;
    mni_core_tick(world->core, world->now);
    answer();
}

/* Some more jobs like the last one, and some of what runs gets followers. */
static void run_ahead(void)
{
    for (uint32_t more = draw(6); more > 0; more--)
        start_model_job(true);
    for (size_t i = 0; i < task_count; i++)
        if (tasks[i].alive && tasks[i].own && draw(3) == 0)
            follow_task(&tasks[i]);
}

static void step(bool winding_down)
{
    uint32_t what = draw(100);
    model_task_t *task = task_count > 0 ? &tasks[draw((uint32_t)task_count)] : NULL;
    if (what < 15 && !winding_down) {
        start_model_job(false);
        if (lines)
            run_ahead();
    } else if (what < 17 && !winding_down)
        step_job();
    else if (what < 18 && !winding_down)
        lose_or_add_worker();
    else if (what < 20 && !winding_down && !draining)
        open_model_demand(NULL);
    else if (what < 28)
        step_time();
    else if (what < 32)
        step_driver();
    else if (task && task->alive)
        step_task(task, winding_down);
}

/* Forgets dead tasks that nothing refers to, so that rounds can be long. */
static void compact(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < task_count; i++) {
        bool referred = tasks[i].alive;
        for (size_t k = 0; k < task_count && !referred; k++)
            referred = tasks[k].alive && tasks[k].parent == tasks[i].id;
        for (size_t k = 0; k < demand_count && !referred; k++)
            referred = demands[k].open && demands[k].caller == tasks[i].id;
        if (referred)
            tasks[kept++] = tasks[i];
    }
    task_count = kept;
}

/* --- rounds ---------------------------------------------------------------------------- */

static void add_node(uint32_t cores, uint64_t memory, uint32_t per_l3, uint32_t workers)
{
    static mni_core_place_t place[MNI_MAX_CORES];
    char host[16];
    uint32_t node;
    for (uint32_t i = 0; i < cores; i++)
        place[i] = (mni_core_place_t){.l3 = (uint16_t)(i / per_l3),
                                      .numa = (uint16_t)(i / (2 * per_l3)),
                                      .package = (uint16_t)(i / ((cores + 1) / 2))};
    snprintf(host, sizeof host, "n%u", node_count);
    static const mni_core_place_t near_first[8] = {[4] = {MNI_NOWHERE, MNI_NOWHERE, MNI_NOWHERE}};
    uint32_t gpus = draw(2) ? draw(9) : 0;
    mni_node_offer_t offer = {.host = host,
                              .cores = cores,
                              .place = place,
                              .memory = memory,
                              .gpus = gpus,
                              .gpu_place = draw(2) ? near_first : NULL};
    assert_int_equal(mni_core_node_add(world->core, &offer, &node), 0);
    node_cores[node_count] = cores;
    node_gpus[node_count] = gpus;
    node_memory[node_count++] = memory;
    for (uint32_t i = 0; i < workers; i++) {
        node_of[rank_count] = node;
        rank_alive[rank_count] = true;
        assert_int_equal(mni_core_worker_add(world->core, rank_count++, node), 0);
    }
}

static void make_nodes(void)
{
    switch (draw(4)) {
    case 0:
        add_node(1, 4 * GIB, 1, 1 + draw(2));
        break;
    case 1:
        add_node(128, 64 * GIB, 8, 2);
        break;
    case 2:
        add_node(2, 8 * GIB, 2, 1 + draw(4));
        break;
    default:
        for (uint32_t i = 0, count = 2 + draw(NODES - 1); i < count; i++)
            add_node(1 + draw(16), (1 + draw(16)) * GIB, 1 + draw(4), 1 + draw(3));
    }
}

static size_t unfinished_jobs(void)
{
    size_t count = 0;
    for (size_t i = 0; i < job_count; i++)
        count += jobs[i].job && !jobs[i].terminal;
    return count;
}

static size_t alive_tasks(void)
{
    size_t count = 0;
    for (size_t i = 0; i < task_count; i++)
        count += tasks[i].alive;
    return count;
}

static void wind_down(void)
{
    for (uint32_t i = 0; i < rank_count; i++)
        if (!rank_alive[i]) {
            rank_alive[i] = true;
            assert_int_equal(mni_core_worker_add(world->core, i, node_of[i]), 0);
            answer();
        }
    for (size_t steps = 0;
         draining ? alive_tasks() > 0 : unfinished_jobs() > 0 || alive_tasks() > 0; steps++) {
        if (steps > 200000)
            fail_msg("%zu jobs and %zu tasks never end", unfinished_jobs(), alive_tasks());
        for (size_t i = 0; i < demand_count; i++) /* what is granted now has nothing to do */
            demands[i].items = demands[i].items > 2 ? 2 : demands[i].items;
        step(true);
        if (task_count > 256)
            compact();
    }
    size_t count_tasks, count_jobs;
    mni_core_count(world->core, &count_tasks, &count_jobs);
    assert_int_equal(count_tasks, 0);
    assert_int_equal(count_jobs, unfinished_jobs());
    for (size_t i = 0; draining && i < job_count; i++)
        if (jobs[i].job && !jobs[i].terminal)
            assert_int_equal(jobs[i].job->status, MN_PENDING);
}

static void one_round(uint64_t seed)
{
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (uint32_t i = 0; i < 8; i++)
        draw(2);
    task_count = demand_count = job_count = 0;
    node_count = rank_count = 0;
    groups = 0;
    draining = false;
    calm = lines && draw(2);
    world = world_create();
    world->visit = model_visit;
    make_nodes();
    answer();
    uint32_t steps = 200 + draw(lines ? 1000 : 1500);
    for (uint32_t i = 0; i < steps; i++) {
        step(false);
        if (task_count > 256)
            compact();
    }
    if (draw(3) == 0) {
        draining = true;
        mni_core_drain(world->core, world->now, draw(2) ? 0 : 10);
        for (size_t i = 0; i < demand_count; i++)
            if (demands[i].open && demands[i].caller == 0)
                demands[i].open = true; /* the refusal comes as an action */
        answer();
    }
    wind_down();
    world_destroy(world);
}

/* Seeds that found something: in the first a job's call waits for a job that waits for the first
 * one, whose next call then runs on the core that went around this circle. */
static void known_events(void **state)
{
    static const uint64_t seeds[] = {UINT64_C(9661433871425)};
    (void)state;
    lines = false; /* there were none yet */
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++)
        one_round(seeds[i]);
}

static void random_events(void **state)
{
    const char *text = getenv("MULTINODE_TEST_SEED"), *more = getenv("MULTINODE_TEST_ROUNDS");
    uint64_t seed = text ? strtoull(text, NULL, 10) : mni_clock_now();
    uint64_t rounds = more ? strtoull(more, NULL, 10) : 60;
    (void)state;
    lines = true;
    for (uint64_t i = 0; i < rounds; i++) {
        printf("seed %llu\n", (unsigned long long)(seed + i));
        fflush(stdout);
        one_round(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_events),
                                       cmocka_unit_test(random_events)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
