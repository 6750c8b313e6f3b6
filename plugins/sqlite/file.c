#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	APPLICATION = 0x48574a4c, /* "HWJL" */
	VERSION = 1,              /* of the tables */
	PAGE_BYTES = 8192,        /* half the writes of 4096, see docs/decisions/0016 */
	BUSY_MS = 2000,           /* somebody with a shell may hold the file for a moment */
	WRITE_CACHE_KIB = 32768,
	READ_CACHE_KIB = 8192,
};

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE tenant(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" last INTEGER NOT NULL);"
	"CREATE TABLE class(id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL,"
	" pattern TEXT NOT NULL, events INTEGER NOT NULL DEFAULT 0,"
	" bytes INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0,"
	" UNIQUE(tenant, pattern));"
	"CREATE TABLE topic(id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL,"
	" gone INTEGER NOT NULL, class INTEGER NOT NULL DEFAULT 0,"
	" empty INTEGER NOT NULL DEFAULT 0, UNIQUE(tenant, name));"
	"CREATE INDEX topic_empty ON topic(class, gone) WHERE empty = 1;"
	"CREATE TABLE event(id INTEGER PRIMARY KEY, topic INTEGER NOT NULL,"
	" at_ms INTEGER NOT NULL, event TEXT NOT NULL, previous TEXT);"
	"CREATE INDEX event_topic ON event(topic);";

/* ---- small steps ---- */

int file_do(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

sqlite3_stmt *file_prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *s = NULL;

	return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) == SQLITE_OK
		       ? s
		       : NULL;
}

void file_error(sqlite3 *db, char *text, size_t size)
{
	int system = sqlite3_system_errno(db), code = sqlite3_errcode(db) & 0xff;

	if (system && (code == SQLITE_IOERR || code == SQLITE_CANTOPEN || code == SQLITE_FULL))
		snprintf(text, size, "%s: %s", sqlite3_errmsg(db), strerror(system));
	else
		snprintf(text, size, "%s", sqlite3_errmsg(db));
}

/* The first column of the first row, a number. */
static int ask(sqlite3 *db, const char *sql, int64_t *value)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*value = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return rc == SQLITE_ROW ? 0 : -1;
}

/* ---- who may use it ---- */

static int say_owner(const char *path, const char *what, int error, struct hw_problem *problem)
{
	struct stat st;

	if ((error == EACCES || error == EPERM) && stat(path, &st) == 0)
		return problem_set(problem, "/path",
			"cannot %s \"%s\": %s; it belongs to user %ju, and this is user %ju", what,
			path, strerror(error), (uintmax_t)st.st_uid, (uintmax_t)geteuid());
	return problem_set(problem, "/path", "cannot %s \"%s\": %s", what, path, strerror(error));
}

static int locked_by(int fd, const char *path, struct hw_problem *problem)
{
	char pid[24] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
	return problem_set(problem, "/path", "\"%s\" is used by another broker%s%s", path,
		pid[0] ? ", process " : "", pid);
}

/* A file of its own beside the database, whose locks are SQLite's. */
static int lock(struct file *file, const char *path, struct hw_problem *problem)
{
	char *real = realpath(path, NULL), *name = NULL;
	int rc = -1, n = asprintf(&name, "%s-lock", real ? real : path);

	if (n >= 0)
		file->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (n < 0)
		problem_set(problem, "/path", "out of memory");
	else if (file->lock_fd < 0)
		say_owner(name, "make or open", errno, problem);
	else if (flock(file->lock_fd, LOCK_EX | LOCK_NB) == 0)
		rc = 0;
	else if (errno == EWOULDBLOCK)
		locked_by(file->lock_fd, path, problem);
	else
		problem_set(problem, "/path", "cannot lock \"%s\": %s", name, strerror(errno));
	/* who is told of it is a person: should it not fit, the lock holds all the same */
	if (rc == 0 && ftruncate(file->lock_fd, 0) == 0)
		dprintf(file->lock_fd, "%jd\n", (intmax_t)getpid());
	if (n >= 0)
		free(name);
	free(real);
	return rc;
}

/* A new file is nobody else's to read, and is there after a power cut. */
static int make(const char *path, struct hw_problem *problem)
{
	char *dir = strdup(path), *slash = dir ? strrchr(dir, '/') : NULL;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600), dir_fd, rc = -1;

	if (fd < 0) {
		free(dir);
		return say_owner(path, "make or open", errno, problem);
	}
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	dir_fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0 && fsync(dir_fd) == 0)
		rc = 0;
	else
		problem_set(problem, "/path", "cannot sync the directory of \"%s\": %s", path,
			strerror(errno));
	if (dir_fd >= 0)
		close(dir_fd);
	close(fd);
	free(dir);
	return rc;
}

/* ---- what is in it ---- */

static int refuse(sqlite3 *db, const char *path, struct hw_problem *problem)
{
	char why[256];
	int code = sqlite3_errcode(db) & 0xff;

	file_error(db, why, sizeof(why));
	if (code == SQLITE_NOTADB)
		return problem_set(problem, "/path", "\"%s\" is not an SQLite database", path);
	if (code == SQLITE_CORRUPT)
		return problem_set(problem, "/path",
			"\"%s\" is damaged (%s); the README of the plugin says what to do", path,
			why);
	if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return problem_set(
			problem, "/path", "\"%s\" is locked by another process (%s)", path, why);
	return problem_set(problem, "/path", "\"%s\" cannot be used: %s", path, why);
}

static int keep_seed(struct file *file, const struct hw_host *host)
{
	unsigned char seed[SEED_BYTES];
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(
		file->writing, "INSERT INTO meta VALUES('seed', ?)", -1, &s, NULL);

	host->random(seed, sizeof(seed));
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(s, 1, seed, sizeof(seed), SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	sqlite3_finalize(s);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* In a new file, all of it or nothing. */
static int make_tables(struct file *file, const struct hw_host *host)
{
	char marks[96];

	snprintf(marks, sizeof(marks), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		APPLICATION, VERSION);
	if (file_do(file->writing, "BEGIN IMMEDIATE") == 0 && file_do(file->writing, schema) == 0 &&
		file_do(file->writing, marks) == 0 && keep_seed(file, host) == 0 &&
		file_do(file->writing, "COMMIT") == 0)
		return 0;
	return -1;
}

static int check_tables(
	struct file *file, const struct hw_host *host, const char *path, struct hw_problem *problem)
{
	int64_t application = 0, version = 0, n = 0;
	char shape[96];

	/* of a file that has no tables yet */
	snprintf(shape, sizeof(shape), "PRAGMA page_size = %d; PRAGMA auto_vacuum = INCREMENTAL;",
		PAGE_BYTES);
	if (file_do(file->writing, shape) ||
		ask(file->writing, "PRAGMA application_id", &application) ||
		ask(file->writing, "PRAGMA user_version", &version) ||
		ask(file->writing, "SELECT count(*) FROM sqlite_schema", &n))
		return refuse(file->writing, path, problem);
	if (n == 0 && application == 0 && version == 0) {
		if (make_tables(file, host))
			return refuse(file->writing, path, problem);
		return 0;
	}
	if (application != APPLICATION)
		return problem_set(problem, "/path",
			"\"%s\" is a database of another program, not a journal of Hookwire", path);
	if (version != VERSION)
		return problem_set(problem, "/path",
			"\"%s\" has tables of version %" PRId64 ", and this plugin knows version "
			"%d: it was written by a newer one",
			path, version, VERSION);
	return 0;
}

static int read_seed(struct file *file, const char *path, struct hw_problem *problem)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(
		file->writing, "SELECT value FROM meta WHERE key = 'seed'", -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(s, 0) == SEED_BYTES)
		memcpy(file->seed, sqlite3_column_blob(s, 0), SEED_BYTES);
	else if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		rc = problem_set(problem, "/path",
			"the seed in \"%s\" is missing, or not of %d bytes; the README of the "
			"plugin says how a new one is made",
			path, SEED_BYTES);
	else
		rc = refuse(file->writing, path, problem);
	sqlite3_finalize(s);
	return rc < 0 ? -1 : 0;
}

/* ---- connections ---- */

static int connect_to(const char *path, sqlite3 **db, int cache_kib)
{
	char text[256];

	if (sqlite3_open_v2(path, db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
		    NULL) != SQLITE_OK)
		return -1;
	sqlite3_busy_timeout(*db, BUSY_MS);
	snprintf(text, sizeof(text),
		"PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
		cache_kib);
	return file_do(*db, text);
}

/* The log is copied into the file by write.c, when it is due. A deleted event is overwritten where
 * that costs no page more. */
static int set_up(sqlite3 *db, const struct settings *settings)
{
	char text[256];

	snprintf(text, sizeof(text),
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = %s; PRAGMA secure_delete = FAST;"
		"PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = %" PRIu64 ";",
		settings->synchronous_normal ? "NORMAL" : "FULL", 2 * settings->checkpoint_bytes);
	return file_do(db, text);
}

static bool keeps_a_log(sqlite3 *db)
{
	sqlite3_stmt *s = NULL;
	bool yes = sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &s, NULL) == SQLITE_OK &&
		   sqlite3_step(s) == SQLITE_ROW &&
		   strcmp((const char *)sqlite3_column_text(s, 0), "wal") == 0;

	sqlite3_finalize(s);
	return yes;
}

static int open_both(struct file *file, const struct hw_host *host, const struct settings *settings,
	struct hw_problem *problem)
{
	const char *path = settings->path;

	if (connect_to(path, &file->writing, WRITE_CACHE_KIB))
		return refuse(file->writing, path, problem);
	if (sqlite3_db_readonly(file->writing, "main") == 1)
		return say_owner(path, "write to", access(path, W_OK) ? errno : EROFS, problem);
	if (check_tables(file, host, path, problem))
		return -1;
	if (set_up(file->writing, settings))
		return refuse(file->writing, path, problem);
	if (!keeps_a_log(file->writing))
		return problem_set(problem, "/path",
			"the file system of \"%s\" is not fit for a write-ahead log", path);
	if (read_seed(file, path, problem))
		return -1;
	if (connect_to(path, &file->reading, READ_CACHE_KIB) ||
		file_do(file->reading, "PRAGMA query_only = ON"))
		return refuse(file->reading, path, problem);
	return 0;
}

int file_open(struct file *file, const struct hw_host *host, const struct settings *settings,
	struct hw_problem *problem)
{
	*file = (struct file){.lock_fd = -1};
	if (lock(file, settings->path, problem) == 0 && make(settings->path, problem) == 0 &&
		open_both(file, host, settings, problem) == 0)
		return 0;
	file_close(file);
	return -1;
}

void file_close(struct file *file)
{
	/* the last one to go copies the log into the file and removes it */
	sqlite3_close_v2(file->reading);
	sqlite3_close_v2(file->writing);
	file->reading = file->writing = NULL;
	if (file->lock_fd >= 0)
		close(file->lock_fd);
	file->lock_fd = -1;
}
