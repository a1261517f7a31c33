"""Member JSON, contract §6.2."""

from rest_framework import serializers

from register.models import ContactInfo, ForeignAddress, LocalAddress, Member, Title, Union


class ContactInfoSerializer(serializers.ModelSerializer):
    class Meta:
        model = ContactInfo
        fields = ("pk", "email", "phone", "foreign_phone", "facebook")


class LocalAddressSerializer(serializers.ModelSerializer):
    class Meta:
        model = LocalAddress
        fields = ("street", "number", "letter", "postal_code", "city")


class ForeignAddressSerializer(serializers.ModelSerializer):
    class Meta:
        model = ForeignAddress
        fields = ("pk", "country", "current", "municipality", "postal_code", "address")


class UnionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Union
        fields = ("id", "name", "abbreviation", "logo")


class TitleSerializer(serializers.ModelSerializer):
    class Meta:
        model = Title
        fields = ("id", "name")


class MemberSerializer(serializers.ModelSerializer):
    contact_info = ContactInfoSerializer(required=False)
    local_address = LocalAddressSerializer(read_only=True)
    foreign_addresses = ForeignAddressSerializer(many=True, read_only=True)
    unions = UnionSerializer(many=True, read_only=True)
    titles = TitleSerializer(many=True, read_only=True)

    class Meta:
        model = Member
        fields = ("id", "ssn", "name", "birthday", "date_joined", "gender", "housing_situation", "reachable",
                  "groupable", "contact_info", "local_address", "foreign_addresses", "unions", "titles", "is_staff",
                  "is_superuser", "version")
        # Silently ignored in a PATCH, as the register does.
        read_only_fields = ("id", "ssn", "is_staff", "is_superuser", "version")

    def to_representation(self, instance):
        plain = super().to_representation(instance)
        for name in ("contact_info", "local_address"):  # a member may have none
            plain.setdefault(name, None)
        return plain

    def update(self, instance, validated_data):
        contact = validated_data.pop("contact_info", None)
        if contact is not None:
            info, _ = ContactInfo.objects.get_or_create(member=instance)
            for name, value in contact.items():
                setattr(info, name, value)
            info.save()
            instance.contact_info = info
        return super().update(instance, validated_data)


def event_data(member):
    """What a webhook carries: the same shape without ids and rights."""
    plain = MemberSerializer(Member.objects.get(pk=member.pk)).data
    plain = {name: value for name, value in plain.items() if name not in ("is_staff", "is_superuser", "version")}
    if plain["contact_info"]:
        plain["contact_info"] = {k: v for k, v in plain["contact_info"].items() if k != "pk"}
    plain["foreign_addresses"] = [{k: v for k, v in one.items() if k != "pk"} for one in plain["foreign_addresses"]]
    plain["unions"] = [{k: v for k, v in one.items() if k != "id"} for one in plain["unions"]]
    plain["titles"] = [{k: v for k, v in one.items() if k != "id"} for one in plain["titles"]]
    return plain
