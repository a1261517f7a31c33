/* The cloud client against real peers. */
#include "cloud_client.h"

#include "cloud_client_peers.h"

#define SKIPPED 77 /* as ctest is told */

static int run_firestore(const char *name)
{
    return run_documents(name) + run_queries(name) + run_transactions(name);
}

static bool choose_peer(const char *setting, const char *what)
{
    const char *host = peer_setting(setting);
    if (host)
        snprintf(peer_host, sizeof(peer_host), "%s", host);
    else
        print_message("skipped: %s (%s is not set)\n", what, setting);
    return host != NULL;
}

int main(void)
{
    int failed = 0;
    int peers = 0;
    pid_t emulator = 0;
    encode_init();
    if (!peer_setting("FIRESTORE_EMULATOR_HOST"))
        emulator = emulator_start(peer_host, sizeof(peer_host));
    if (emulator > 0 || choose_peer("FIRESTORE_EMULATOR_HOST", "Google's Firestore emulator")) {
        failed += run_firestore("Google's Firestore emulator");
        peers++;
    }
    emulator_stop(emulator);
    if (choose_peer("FIREBASE_AUTH_EMULATOR_HOST", "Google's Auth emulator")) {
        failed += run_accounts("Google's Auth emulator");
        peers++;
    }
    if (choose_peer("LOCAL_CLOUD_HOST", "the local stand-in")) {
        failed += run_firestore("the local stand-in, Firestore");
        failed += run_accounts("the local stand-in, accounts");
        peers++;
    }
    return failed > 0 ? 1 : (peers > 0 ? 0 : SKIPPED);
}
