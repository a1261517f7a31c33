/* main.c - the only main() of the suite; see service.h */
#include "service/service.h"

int main(int argc, char **argv)
{
    return service_run(&the_service, argc, argv);
}
