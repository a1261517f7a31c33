# Warnings and hardening, as interface targets so that nothing is set for a whole directory.
option(SUITE_WERROR "Warnings are errors" ON)
set(SUITE_SANITIZE "" CACHE STRING "address,undefined | thread | empty")

add_library(suite_warnings INTERFACE)
target_compile_options(suite_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wundef -Wvla -Wcast-qual -Wcast-align -Wpointer-arith -Wwrite-strings
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wredundant-decls -Wformat=2
  -Wconversion -Wsign-conversion -Wdouble-promotion -Wfloat-equal -Wnull-dereference -Wswitch-enum
  -fno-common)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(suite_warnings INTERFACE
    -Wformat-signedness -Wjump-misses-init -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Walloc-zero)
else()
  target_compile_options(suite_warnings INTERFACE
    -Wshorten-64-to-32 -Wconditional-uninitialized -Wassign-enum -Wcomma -Wunreachable-code)
endif()
if(SUITE_WERROR)
  target_compile_options(suite_warnings INTERFACE -Werror)
endif()

# Refuses strcpy, sprintf, gmtime and their like in every file of ours.
target_compile_options(suite_warnings INTERFACE
  -include ${CMAKE_SOURCE_DIR}/libcommon/base/banned.h)

add_library(suite_flags INTERFACE)
target_compile_definitions(suite_flags INTERFACE _GNU_SOURCE)
target_compile_options(suite_flags INTERFACE -fstack-protector-strong -fstack-clash-protection -fPIE)
target_link_options(suite_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
if(SUITE_SANITIZE)
  target_compile_options(suite_flags INTERFACE
    -fsanitize=${SUITE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(suite_flags INTERFACE -fsanitize=${SUITE_SANITIZE})
endif()
# Lines and branches that tests reach (tests/coverage). Counters are atomic, because workers are threads.
option(SUITE_COVERAGE "Count what is executed" OFF)
if(SUITE_COVERAGE)
  target_compile_options(suite_flags INTERFACE --coverage -O0 -fprofile-update=atomic)
  target_link_options(suite_flags INTERFACE --coverage)
endif()
