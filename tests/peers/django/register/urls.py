from django.urls import include, path
from rest_framework.routers import DefaultRouter

from register import peer, views

router = DefaultRouter()
router.register("full", views.MemberViewSet)

urlpatterns = [
    path("felagar/api/sync/address/", views.sync_address),
    path("felagar/api/members/<str:kennitala>/foreign-addresses/", views.foreign_addresses),
    path("felagar/api/members/<str:kennitala>/foreign-addresses/<int:pk>/", views.foreign_address),
    path("felagar/api/tickets/", views.tickets),
    path("felagar/api/", include(router.urls)),
    path("health", peer.health),
    path("health/ready", peer.health),
    path("_peer", peer.forget),
    path("_peer/overlap", peer.overlap),
    path("_peer/calls", peer.calls),
    path("_peer/events", peer.events),
    path("_peer/deliveries", peer.deliveries),
    path("_peer/faults", peer.faults),
    path("_peer/members", peer.members),
    path("_peer/members/<int:pk>", peer.member),
]
