# add_service(NAME): services/NAME/*.c become lib NAME_core (for tests) and the binary bin/NAME.
# The executable is nothing but main() of libcommon and the service value the folder defines.
function(add_service name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.c)
  add_library(${name}_core STATIC ${sources})
  target_include_directories(${name}_core PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/${name})
  target_link_libraries(${name}_core PUBLIC common PRIVATE suite_warnings)
  add_executable(${name} ${CMAKE_SOURCE_DIR}/libcommon/service/main.c)
  target_link_libraries(${name} PRIVATE ${name}_core common suite_warnings)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  install(TARGETS ${name} RUNTIME)
endfunction()

# service_protobuf(NAME FILE): FILE.proto of services/NAME is generated at build time, as FILE.pb-c.h.
# The generator's text is not ours to warn about, so it is a library of its own.
function(service_protobuf name file)
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${name}_proto)
  file(MAKE_DIRECTORY ${out})
  add_custom_command(
    OUTPUT ${out}/${file}.pb-c.c ${out}/${file}.pb-c.h
    COMMAND ${PROTOC_C} --c_out=${out} --proto_path=${CMAKE_CURRENT_SOURCE_DIR}/${name} ${file}.proto
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/${file}.proto
    VERBATIM)
  add_library(${name}_proto STATIC ${out}/${file}.pb-c.c ${out}/${file}.pb-c.h)
  target_include_directories(${name}_proto SYSTEM PUBLIC ${out})
  target_link_libraries(${name}_proto PUBLIC PkgConfig::PROTOBUF_C PRIVATE suite_flags)
  target_link_libraries(${name}_core PUBLIC ${name}_proto)
endfunction()
