/* Preloaded into Kamailio 5.6.3 of Debian 12, whose module for TLS crashes or hangs without it as soon as two processes shake
 * hands at once (Kamailio's issues 3791 and 3695; later versions have tls_threads_mode).
 *
 * Its main process uses OpenSSL 3 before it forks. OpenSSL keeps a thread's errors, among other things, in memory of the
 * thread; here that memory is shared between processes, and every child goes on with its parent's. All of them then free
 * the same errors. So a child forgets what OpenSSL keeps for the thread that it was forked from, and begins with its own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* OpenSSL 3.0 has about ten keys. */
#define MOST_KEYS 64

typedef int create_key(pthread_key_t *, void (*)(void *));

static pthread_key_t keys[MOST_KEYS];
static unsigned known;

static void forget(void)
{
    for (unsigned i = 0; i < known; i++)
        pthread_setspecific(keys[i], NULL);
}

/* Keys are created by the main process, one after the other. */
int pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    static create_key *real;
    if (!real) {
        real = (create_key *)dlsym(RTLD_NEXT, "pthread_key_create");
        pthread_atfork(NULL, NULL, forget);
    }
    Dl_info caller;
    int code = real(key, destroy);
    if (code == 0 && known < MOST_KEYS && dladdr(__builtin_return_address(0), &caller) && caller.dli_fname
        && strstr(caller.dli_fname, "libcrypto"))
        keys[known++] = *key;
    return code;
}
