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
