/* SPDX-License-Identifier: MIT
 *
 * See power.h. Names are relative to the folder; a name's own folder is what is before its last slash.
 */
#include "power.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define DESCRIPTORS 1024

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes_t;

/* Data at an offset, or a size (data NULL). */
typedef struct patch {
    struct patch *next;
    size_t offset, size;
    uint8_t data[];
} patch_t;

typedef struct node {
    struct node *next;
    bool is_folder;
    bytes_t synced;
    patch_t *patches, **last;
} node_t;

typedef struct name {
    struct name *next;
    node_t *node;
    char text[256];
} name_t;

/* A name that appears (from empty), goes (to empty) or changes. */
typedef struct step {
    struct step *next;
    node_t *node;
    char from[256], to[256];
} step_t;

struct power {
    char folder[PATH_MAX];
    mni_fault_layer_t layer;
    pthread_mutex_t mutex;
    void (*event)(void *argument);
    void *argument;
    node_t *nodes;
    name_t *now, *synced;
    step_t *steps, **last;
    struct {
        node_t *node;
        char folder[256]; /* of a folder: its name and a slash; the store's own: empty */
        bool is_folder;
    } open[DESCRIPTORS];
};

static void *get(size_t size)
{
    void *made = calloc(1, size);
    if (!made)
        abort();
    return made;
}

/* --- bytes --------------------------------------------------------------------------------------- */

static void bytes_resize(bytes_t *bytes, size_t size)
{
    uint8_t *grown = realloc(bytes->data, size + 1);
    if (!grown)
        abort();
    if (size > bytes->size)
        memset(grown + bytes->size, 0, size - bytes->size);
    *bytes = (bytes_t){grown, size};
}

static void bytes_put(bytes_t *bytes, size_t offset, const uint8_t *data, size_t size)
{
    if (offset + size > bytes->size)
        bytes_resize(bytes, offset + size);
    memcpy(bytes->data + offset, data, size);
}

/* --- names ----------------------------------------------------------------------------------------- */

static name_t **name_find(name_t **names, const char *text)
{
    while (*names && strcmp((*names)->text, text) != 0)
        names = &(*names)->next;
    return names;
}

static void name_set(name_t **names, const char *text, node_t *node)
{
    name_t **at = name_find(names, text);
    if (!*at) {
        *at = get(sizeof **at);
        snprintf((*at)->text, sizeof(*at)->text, "%s", text);
    }
    (*at)->node = node;
}

static void name_drop(name_t **names, const char *text)
{
    name_t **at = name_find(names, text), *gone = *at;
    if (gone) {
        *at = gone->next;
        free(gone);
    }
}

static void names_free(name_t *names)
{
    while (names) {
        name_t *next = names->next;
        free(names);
        names = next;
    }
}

static void step_apply(name_t **names, const step_t *step)
{
    name_t *from = step->from[0] ? *name_find(names, step->from) : NULL;
    if (from && from->node == step->node)
        name_drop(names, step->from);
    if (step->to[0])
        name_set(names, step->to, step->node);
}

static void step_add(power_t *power, node_t *node, const char *from, const char *to)
{
    step_t *step = get(sizeof *step);
    step->node = node;
    snprintf(step->from, sizeof step->from, "%s", from);
    snprintf(step->to, sizeof step->to, "%s", to);
    *power->last = step;
    power->last = &step->next;
    step_apply(&power->now, step);
}

static bool lies_in(const char *name, const char *folder)
{
    size_t size = strlen(folder);
    return name[0] && strncmp(name, folder, size) == 0 && !strchr(name + size, '/');
}

/* The steps of a folder are on the disk. */
static void folder_synced(power_t *power, const char *folder)
{
    step_t **at = &power->steps;
    while (*at) {
        step_t *step = *at;
        if (lies_in(step->from, folder) || lies_in(step->to, folder)) {
            step_apply(&power->synced, step);
            *at = step->next;
            free(step);
        } else {
            at = &step->next;
        }
    }
    power->last = at;
}

static node_t *node_make(power_t *power)
{
    node_t *node = get(sizeof *node);
    node->last = &node->patches;
    node->next = power->nodes;
    power->nodes = node;
    return node;
}

static void patch_add(node_t *node, size_t offset, const void *data, size_t size)
{
    patch_t *patch = get(sizeof *patch + size);
    patch->offset = offset;
    patch->size = data ? size : SIZE_MAX;
    if (data)
        memcpy(patch->data, data, size);
    *node->last = patch;
    node->last = &patch->next;
}

static void patch_apply(bytes_t *bytes, const patch_t *patch)
{
    if (patch->size == SIZE_MAX)
        bytes_resize(bytes, patch->offset);
    else
        bytes_put(bytes, patch->offset, patch->data, patch->size);
}

static void node_synced(node_t *node)
{
    while (node->patches) {
        patch_t *patch = node->patches;
        patch_apply(&node->synced, patch);
        node->patches = patch->next;
        free(patch);
    }
    node->last = &node->patches;
}

/* NULL: it is elsewhere. */
static const char *relative(const power_t *power, const char *path)
{
    size_t size = strlen(power->folder);
    if (strncmp(path, power->folder, size) != 0)
        return NULL;
    return path[size] == '/' ? path + size + 1 : path[size] == '\0' ? "" : NULL;
}

/* --- what is seen --------------------------------------------------------------------------------------- */

static void seen_open(power_t *power, const mni_fault_change_t *change)
{
    const char *name = relative(power, change->path);
    struct stat file;

    if (change->fd < 0) { /* a folder was made */
        if (name) {
            node_t *node = node_make(power);
            node->is_folder = true;
            step_add(power, node, "", name);
        }
        return;
    }
    if (change->fd >= DESCRIPTORS)
        abort();
    memset(&power->open[change->fd], 0, sizeof power->open[0]);
    if (!name || fstat(change->fd, &file) < 0)
        return;
    if (S_ISDIR(file.st_mode)) {
        power->open[change->fd].is_folder = true;
        snprintf(power->open[change->fd].folder, sizeof power->open[0].folder, "%s%s", name,
                 name[0] ? "/" : "");
        return;
    }
    name_t *known = *name_find(&power->now, name);
    node_t *node = known ? known->node : node_make(power);
    if (!known)
        step_add(power, node, "", name);
    else if (change->flags & O_TRUNC)
        patch_add(node, 0, NULL, 0);
    power->open[change->fd].node = node;
}

/* Data that another call than write() has put into the file. */
static void seen_copy(node_t *node, const mni_fault_change_t *change)
{
    uint8_t *data = get(change->size + 1);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", change->fd);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t size = pread(fd, data, change->size, change->offset);
    if (size > 0)
        patch_add(node, (size_t)change->offset, data, (size_t)size);
    close(fd);
    free(data);
}

static void seen_names(power_t *power, const mni_fault_change_t *change)
{
    const char *from = relative(power, change->path);
    const char *to = change->to ? relative(power, change->to) : "";
    name_t *known = from ? *name_find(&power->now, from) : NULL;
    if (known && to)
        step_add(power, known->node, from, to);
}

static void seen(power_t *power, const mni_fault_change_t *change)
{
    node_t *node = change->fd >= 0 ? power->open[change->fd].node : NULL;

    switch (change->kind) {
    case MNI_FAULT_OPEN:
        seen_open(power, change);
        break;
    case MNI_FAULT_RENAME:
    case MNI_FAULT_UNLINK:
        seen_names(power, change);
        break;
    case MNI_FAULT_SYNC:
        if (node)
            node_synced(node);
        else if (power->open[change->fd].is_folder)
            folder_synced(power, power->open[change->fd].folder);
        break;
    case MNI_FAULT_WRITE:
        if (node)
            patch_add(node, (size_t)change->offset, change->data, change->size);
        break;
    case MNI_FAULT_RESIZE:
        if (node)
            patch_add(node, (size_t)change->offset, NULL, 0);
        break;
    case MNI_FAULT_COPY:
        if (node)
            seen_copy(node, change);
        break;
    default:
        break;
    }
}

static void layer_begin(void *argument)
{
    power_t *power = argument;
    pthread_mutex_lock(&power->mutex);
}

static void layer_end(void *argument, const mni_fault_change_t *change)
{
    power_t *power = argument;
    if (change && power->event && change->kind != MNI_FAULT_OPEN)
        power->event(power->argument); /* nothing of this one has reached the disk */
    if (change)
        seen(power, change);
    pthread_mutex_unlock(&power->mutex);
}

/* --- what is left ------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *random, uint64_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (*random >> 33) % below;
}

/* How much of what is not on the disk is kept: a part of 8; what comes first only; each on its own. */
typedef struct luck {
    uint64_t *random;
    unsigned part;
    bool in_order, ended;
} luck_t;

static luck_t luck_of(uint64_t *random)
{
    static const unsigned parts[] = {0, 1, 4, 7, 8};
    luck_t luck = {.random = random, .part = parts[draw(random, 5)]};
    luck.in_order = draw(random, 3) == 0;
    return luck;
}

static bool kept(luck_t *luck)
{
    bool is = !luck->ended && draw(luck->random, 8) < luck->part;
    if (!is && luck->in_order)
        luck->ended = true;
    return is;
}

static bytes_t bytes_left(const node_t *node, uint64_t *random)
{
    luck_t luck = luck_of(random);
    bytes_t left = {0};

    bytes_resize(&left, 0);
    if (node->synced.size > 0)
        bytes_put(&left, 0, node->synced.data, node->synced.size);
    for (const patch_t *patch = node->patches; patch; patch = patch->next) {
        if (patch->size == SIZE_MAX) {
            if (kept(&luck))
                bytes_resize(&left, patch->offset);
            continue;
        }
        for (size_t done = 0, size; done < patch->size; done += size) {
            size = SECTOR - (patch->offset + done) % SECTOR;
            if (size > patch->size - done)
                size = patch->size - done;
            if (kept(&luck))
                bytes_put(&left, patch->offset + done, patch->data + done, size);
        }
    }
    return left;
}

static void make_left(const char *target, const name_t *name, uint64_t *random)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", target, name->text) >= (int)sizeof path)
        abort();
    if (name->node->is_folder) {
        mkdir(path, 0700);
        return;
    }
    bytes_t left = bytes_left(name->node, random);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    /* without its folder it is lost */
    if (fd >= 0 && write(fd, left.data, left.size) != (ssize_t)left.size)
        abort();
    if (fd >= 0)
        close(fd);
    free(left.data);
}

void power_cut(const power_t *power, uint64_t *random, const char *target)
{
    luck_t luck = luck_of(random);
    name_t *names = NULL;

    for (const name_t *name = power->synced; name; name = name->next)
        name_set(&names, name->text, name->node);
    for (const step_t *step = power->steps; step; step = step->next)
        if (kept(&luck))
            step_apply(&names, step);
    for (int folders = 1; folders >= 0; folders--)
        for (const name_t *name = names; name; name = name->next)
            if (name->node->is_folder == folders)
                make_left(target, name, random);
    names_free(names);
}

/* --- its life ---------------------------------------------------------------------------------------------- */

static void scan(power_t *power, const char *below)
{
    char path[PATH_MAX], name[256];
    struct stat file;

    if (snprintf(path, sizeof path, "%s/%s", power->folder, below) >= (int)sizeof path)
        abort();
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(name, sizeof name, "%s%s", below, entry->d_name) >= (int)sizeof name ||
            snprintf(path, sizeof path, "%s/%s", power->folder, name) >= (int)sizeof path ||
            stat(path, &file) < 0)
            abort();
        node_t *node = node_make(power);
        name_set(&power->now, name, node);
        name_set(&power->synced, name, node);
        node->is_folder = S_ISDIR(file.st_mode);
        if (node->is_folder) {
            strncat(name, "/", sizeof name - strlen(name) - 1);
            scan(power, name);
            continue;
        }
        bytes_resize(&node->synced, (size_t)file.st_size);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, node->synced.data, node->synced.size) != file.st_size)
            abort();
        close(fd);
    }
    if (stream)
        closedir(stream);
}

power_t *power_create(const char *folder, void (*event)(void *argument), void *argument)
{
    power_t *power = get(sizeof *power);
    snprintf(power->folder, sizeof power->folder, "%s", folder);
    power->layer = (mni_fault_layer_t){layer_begin, layer_end, power};
    pthread_mutex_init(&power->mutex, NULL);
    power->event = event;
    power->argument = argument;
    power->last = &power->steps;
    scan(power, "");
    return power;
}

void power_destroy(power_t *power)
{
    while (power->nodes) {
        node_t *next = power->nodes->next;
        node_synced(power->nodes);
        free(power->nodes->synced.data);
        free(power->nodes);
        power->nodes = next;
    }
    while (power->steps) {
        step_t *next = power->steps->next;
        free(power->steps);
        power->steps = next;
    }
    names_free(power->now);
    names_free(power->synced);
    pthread_mutex_destroy(&power->mutex);
    free(power);
}

const mni_fault_layer_t *power_layer(const power_t *power)
{
    return &power->layer;
}
