"""The endpoints of contract §6.1 that the suite uses."""

import datetime
import secrets

from django.db import transaction
from django.utils import timezone
from rest_framework import mixins, pagination, viewsets
from rest_framework.decorators import api_view
from rest_framework.response import Response

from register.models import ForeignAddress, LocalAddress, MapAddress, Member, Ticket
from register.serializers import ForeignAddressSerializer, MemberSerializer


class MemberPages(pagination.PageNumberPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 500


class MemberViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.UpdateModelMixin,
                    viewsets.GenericViewSet):
    """No create, no delete: those are 405."""
    queryset = (Member.objects.order_by("id").select_related("contact_info", "local_address")
                .prefetch_related("foreign_addresses", "unions", "titles"))
    serializer_class = MemberSerializer
    pagination_class = MemberPages


def find_member(kennitala):
    plain = str(kennitala or "").replace("-", "")
    return Member.objects.filter(ssn__in=(plain, f"{plain[:6]}-{plain[6:]}")).first()


def find_point(address):
    """By registry number, else street within postcode, number, and letter (empty matches none)."""
    if address.get("hnitnum") is not None:
        return MapAddress.objects.filter(hnitnum=address["hnitnum"]).first()
    try:
        number, postal_code = int(address["number"]), int(address["postal_code"])
    except (KeyError, TypeError, ValueError):
        return None
    return MapAddress.objects.filter(
        street__iexact=address.get("street") or "", postal_code=postal_code, number=number,
        letter__iexact=address.get("letter") or "").first()


def as_number(value):
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


@api_view(["POST"])
def sync_address(request):
    address = request.data.get("address")
    kennitala, hnitnum = request.data.get("kennitala"), request.data.get("hnitnum")
    if not kennitala or not (isinstance(address, dict) and address.get("street") or hnitnum is not None):
        return Response({"error": f"kennitala and address are required, got {kennitala}"}, status=400)
    member = find_member(kennitala)
    if member is None:
        return Response({"error": f"Member {kennitala} not found"}, status=404)
    address = dict(address or {})
    if hnitnum is not None:
        address["hnitnum"] = hnitnum
    point = find_point(address)
    source = point or address
    read = (lambda name: getattr(source, name)) if point else source.get
    with transaction.atomic():
        _, created = LocalAddress.objects.update_or_create(member=member, defaults={
            "map_address": point, "street": read("street") or "", "number": as_number(read("number")),
            "letter": read("letter") or "", "postal_code": as_number(read("postal_code")), "city": read("city") or ""})
    Member.objects.get(pk=member.pk).save(update_fields=["version"])
    return Response({
        "success": True, "message": "Address linked" if point else "Address saved but not located",
        "created": created, "map_address_id": point.pk if point else None, "address_linked": bool(point),
        "unlocated": None if point else True})


@api_view(["GET", "POST"])
def foreign_addresses(request, kennitala):
    member = find_member(kennitala)
    if member is None:
        return Response({"detail": "Not found."}, status=404)
    if request.method == "GET":
        return Response(ForeignAddressSerializer(member.foreign_addresses.all(), many=True).data)
    fields = ForeignAddressSerializer(data=request.data)
    fields.is_valid(raise_exception=True)
    fields.save(member=member)
    Member.objects.get(pk=member.pk).save(update_fields=["version"])
    return Response(fields.data, status=201)


@api_view(["PATCH", "PUT"])
def foreign_address(request, kennitala, pk):
    member = find_member(kennitala)
    found = ForeignAddress.objects.filter(member=member, pk=pk).first() if member else None
    if found is None:
        return Response({"detail": "Not found."}, status=404)
    fields = ForeignAddressSerializer(found, data=request.data, partial=request.method == "PATCH")
    fields.is_valid(raise_exception=True)
    fields.save()
    Member.objects.get(pk=member.pk).save(update_fields=["version"])
    return Response(fields.data)


@api_view(["POST"])
def tickets(request):
    """What the register may offer one day (contract §14 D8)."""
    ends = timezone.now() + datetime.timedelta(seconds=int(request.data.get("ttl_s", 3600)))
    ticket = Ticket.objects.create(key=secrets.token_hex(24), scope=str(request.data.get("scope", "")), expires_at=ends)
    return Response({"ticket": ticket.key, "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}, status=201)
